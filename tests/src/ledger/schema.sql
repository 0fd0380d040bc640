CREATE SCHEMA ledger;
CREATE SEQUENCE ledger.ops;
CREATE SEQUENCE ledger.commits;

-- The version of every key that ever was, through deletes and re-inserts; its row lock orders the changes of a key.
CREATE TABLE ledger.keys (tab text, id bigint, ver bigint NOT NULL, live boolean NOT NULL, PRIMARY KEY (tab, id));
-- One row for each change, in the change's own transaction: only what is committed is expected.
CREATE TABLE ledger.entries (op_id bigint PRIMARY KEY, tab text NOT NULL, id bigint NOT NULL, ver bigint NOT NULL, op text NOT NULL, hash text, xid bigint NOT NULL);
-- The order of commits: taken under a lock that is held until the commit is done.
CREATE TABLE ledger.seals (xid bigint PRIMARY KEY, number bigint NOT NULL);

CREATE FUNCTION ledger.seal() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1);
  INSERT INTO ledger.seals VALUES (pg_current_xact_id()::text::bigint, nextval('ledger.commits'));
END;
$$;

CREATE TABLE public.plain (id bigint PRIMARY KEY, ver bigint NOT NULL, op_id bigint NOT NULL, amount numeric(12,2), note text, at timestamptz NOT NULL, flag boolean, doc jsonb, raw bytea, body text);
CREATE TABLE public.whole (LIKE public.plain INCLUDING ALL);
ALTER TABLE public.whole REPLICA IDENTITY FULL;
CREATE TABLE public.fat (LIKE public.plain INCLUDING ALL);
ALTER TABLE public.fat ALTER body SET STORAGE EXTERNAL;
CREATE TABLE public.copied (LIKE public.plain INCLUDING ALL);

-- A row as the server's own texts, so that what a consumer makes of it can be compared.
CREATE FUNCTION ledger.hash(t public.plain) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT encode(sha256(convert_to(concat_ws(E'\x1f', t.id::text, t.ver::text, t.op_id::text, coalesce(t.amount::text, '~'), coalesce(t.note, '~'),
    t.at::text, coalesce(t.flag::text, '~'), coalesce(t.doc::text, '~'), coalesce(t.raw::text, '~'), coalesce(t.body, '~')), 'UTF8')), 'hex');
$$;

CREATE FUNCTION ledger.fresh(wanted bigint, version bigint, op bigint, large boolean) RETURNS public.plain LANGUAGE sql VOLATILE AS $$
  SELECT ROW(wanted, version, op, round((random() * 2000000 - 1000000)::numeric, 2),
    CASE WHEN random() < 0.1 THEN NULL ELSE md5(random()::text) || ' ü' END, clock_timestamp(),
    CASE WHEN random() < 0.1 THEN NULL ELSE random() < 0.5 END,
    jsonb_build_object('n', op, 'list', jsonb_build_array(1.50, null, 'x')),
    decode(md5(random()::text), 'hex'),
    CASE WHEN large THEN repeat(md5(random()::text), 80) END)::public.plain;
$$;

-- One change of one key: a create where there is no row, else a delete (dice < 0.15) or an update.
CREATE FUNCTION ledger.act(tab text, wanted bigint, dice float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  version bigint;
  was boolean;
  op bigint := nextval('ledger.ops');
  kind text;
  made public.plain;
BEGIN
  INSERT INTO ledger.keys AS k VALUES (tab, wanted, 1, false) ON CONFLICT ON CONSTRAINT keys_pkey DO UPDATE SET ver = k.ver + 1
    RETURNING k.ver, k.live INTO version, was;
  IF was AND dice < 0.15 THEN
    kind := 'd';
    EXECUTE format('DELETE FROM public.%I WHERE id = $1', tab) USING wanted;
    UPDATE ledger.keys SET live = false WHERE keys.tab = act.tab AND id = wanted;
  ELSIF was THEN
    kind := 'u';
    made := ledger.fresh(wanted, version, op, tab = 'fat' AND dice > 0.9);
    EXECUTE format('UPDATE public.%I SET (ver, op_id, amount, note, at, flag, doc, raw, body) = ROW($2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, body))
      WHERE id = $1 RETURNING body', tab)
      INTO made.body USING made.id, made.ver, made.op_id, made.amount, made.note, made.at, made.flag, made.doc, made.raw, made.body;
  ELSE
    kind := 'c';
    made := ledger.fresh(wanted, version, op, tab = 'fat');
    EXECUTE format('INSERT INTO public.%I SELECT $1.*', tab) USING made;
    UPDATE ledger.keys SET live = true WHERE keys.tab = act.tab AND id = wanted;
  END IF;
  INSERT INTO ledger.entries VALUES (op, tab, wanted, version, kind, CASE WHEN kind <> 'd' THEN ledger.hash(made) END, pg_current_xact_id()::text::bigint);
END;
$$;

-- A row gets another key: for the log an update, for whoever folds a topic a delete and a create.
CREATE FUNCTION ledger.move(tab text, source bigint, target bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  going boolean;
  taken boolean;
  old_version bigint;
  new_version bigint;
  old_op bigint := nextval('ledger.ops');
  new_op bigint := nextval('ledger.ops');
  made public.plain;
BEGIN
  INSERT INTO ledger.keys VALUES (tab, least(source, target), 0, false) ON CONFLICT DO NOTHING;
  INSERT INTO ledger.keys VALUES (tab, greatest(source, target), 0, false) ON CONFLICT DO NOTHING;
  PERFORM 1 FROM ledger.keys k WHERE k.tab = move.tab AND id IN (source, target) ORDER BY id FOR UPDATE;
  SELECT live INTO going FROM ledger.keys k WHERE k.tab = move.tab AND id = source;
  SELECT live INTO taken FROM ledger.keys k WHERE k.tab = move.tab AND id = target;
  IF NOT going OR taken THEN RETURN; END IF;
  UPDATE ledger.keys k SET ver = ver + 1, live = false WHERE k.tab = move.tab AND id = source RETURNING ver INTO old_version;
  UPDATE ledger.keys k SET ver = ver + 1, live = true WHERE k.tab = move.tab AND id = target RETURNING ver INTO new_version;
  EXECUTE format('UPDATE public.%I SET id = $2, ver = $3, op_id = $4 WHERE id = $1 RETURNING *', tab) INTO made USING source, target, new_version, new_op;
  INSERT INTO ledger.entries VALUES (old_op, tab, source, old_version, 'd', NULL, pg_current_xact_id()::text::bigint),
    (new_op, tab, target, new_version, 'c', ledger.hash(made), pg_current_xact_id()::text::bigint);
END;
$$;

-- Rows that are there before anybody looks.
CREATE FUNCTION ledger.fill(tab text, count bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO public.%I SELECT f.* FROM generate_series(1, $1) i, LATERAL ledger.fresh(i, 1, nextval(''ledger.ops''), %L) f', tab, tab = 'fat') USING count;
  EXECUTE format('INSERT INTO ledger.keys SELECT %L, id, 1, true FROM public.%I', tab, tab);
  EXECUTE format('INSERT INTO ledger.entries SELECT op_id, %L, id, 1, ''c'', ledger.hash(ROW(t.*)::public.plain), pg_current_xact_id()::text::bigint FROM public.%I t', tab, tab);
  PERFORM ledger.seal();
END;
$$;
