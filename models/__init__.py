"""The offline half of EMMA: what turns words into model input, what learns, and what was learnt.

`text`, `relation`, `decision`, `bundle` and `runtime` need neither torch nor transformers and are the
bridge to the serving half; `emma` and `job` need the `train` extra.
"""
