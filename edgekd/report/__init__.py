"""Results and verdicts → pages and files.

A file of ``formats/`` is one format; what it can write is asked for by the protocols of ``format.py``. The other
modules work out, once for all formats, the figures (``figures``), the tables (``tables``, ``gate_table``), the
sentences (``summary``, ``page_words``, ``conditions``) and what the page is drawn from (``page_data``).
"""
