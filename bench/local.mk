# bench/

# An independent judge of decision logs; tests run it, too.
EXTRA_DIST += %D%/judge.py
