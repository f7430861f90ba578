-- Prices and totals are in cents.
CREATE TABLE IF NOT EXISTS products (sku text PRIMARY KEY, name text NOT NULL, price integer NOT NULL CHECK (price > 0));

CREATE TABLE IF NOT EXISTS orders (
    id serial PRIMARY KEY,
    sku text NOT NULL REFERENCES products,
    quantity integer NOT NULL CHECK (quantity > 0),
    total integer NOT NULL,
    status text NOT NULL DEFAULT 'open'
);

CREATE TABLE IF NOT EXISTS invoices (
    order_id integer PRIMARY KEY REFERENCES orders ON DELETE CASCADE,
    net integer NOT NULL,
    vat integer NOT NULL
);

INSERT INTO products VALUES ('tea', 'Green tea', 450), ('mug', 'Blue mug', 1290) ON CONFLICT DO NOTHING;
