-- Sends that a program asks for over HTTP.

-- Which request made which send: the same key with the same body is the same request.
create table idempotency_keys (
  api_key {key} not null,               -- api_keys.id: keys of two programs never meet
  key {key} not null,                   -- the header Idempotency-Key
  body_hash {key} not null,             -- SHA-256 of the body
  send_id {key} not null,
  at bigint not null,
  primary key (api_key, key)
){clustered};
create index idempotency_keys_at on idempotency_keys (at);
create index idempotency_keys_send on idempotency_keys (send_id);

-- Files that a request brought along. A retry composes the same bytes from them.
create table attachments (
  send_id {key} not null,
  position bigint not null,
  name text not null,
  content_type text not null,
  content text not null,                -- base64
  primary key (send_id, position)
);
