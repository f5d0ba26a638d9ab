\set n random(1, :rows)
INSERT INTO sessions (sid, name, data, exp)
VALUES (rpad(md5(:n::text), 43, '_'), 'session', :value::text, date_trunc('second', now() + interval '100 hours'))
ON CONFLICT (sid) DO UPDATE SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp;
