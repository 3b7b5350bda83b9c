-- A key that signs succeeds another, and both say so: without that anybody who can write here could publish one of his own.
ALTER TABLE signing_keys
    ADD COLUMN predecessor    text REFERENCES signing_keys,
    ADD COLUMN by_predecessor text,         -- JWS: the older key names the newer
    ADD COLUMN by_itself      text;         -- JWS: the newer key names the older
