"""The process that runs one instance of a Triton Python model for Nereid.

Standard library and numpy only. `wire` knows frames, `host` what the server offers while the model runs, `loop` what the server
asks for. What a model imports is `triton_python_backend_utils`, beside this package.
"""
