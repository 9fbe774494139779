# analyzer/
