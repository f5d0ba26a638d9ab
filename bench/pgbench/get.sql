\set n random(1, :rows)
SELECT sid, data, exp FROM sessions WHERE sid = rpad(md5(:n::text), 43, '_');
