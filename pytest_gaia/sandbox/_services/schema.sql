CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(255) UNIQUE NOT NULL,
    name varchar(255),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key_hash varchar(64) UNIQUE NOT NULL,
    name varchar(255),
    permissions jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    expires_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE chat_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    conversation_id uuid,
    role varchar(20) NOT NULL,
    content text NOT NULL,
    model varchar(100),
    provider varchar(50),
    tokens_used integer,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE assets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    type varchar(50) NOT NULL,
    name varchar(255),
    description text,
    url text,
    metadata jsonb NOT NULL DEFAULT '{}',
    generation_params jsonb NOT NULL DEFAULT '{}',
    status varchar(50) NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE personas (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(100) UNIQUE NOT NULL,
    description text NOT NULL,
    system_prompt text NOT NULL,
    personality_traits jsonb NOT NULL DEFAULT '{}',
    capabilities jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_by varchar(255),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE user_persona_preferences (
    user_id varchar(255) PRIMARY KEY,
    persona_id uuid NOT NULL REFERENCES personas (id) ON DELETE CASCADE,
    updated_at timestamptz NOT NULL DEFAULT now()
);
