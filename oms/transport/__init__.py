"""Transport: the way between the roles, over Redis Streams; needs the extra `scale`.

keys names the streams of a group, server knows how to call Redis, scripts has what must happen
there in one step, wire writes and reads what is in an entry. The journal is the truth: whatever
Redis loses is asked for again, by ids and by journal sequences.
"""
