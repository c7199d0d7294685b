"""A stand-in Binance USD-M futures server on 127.0.0.1: the documented wire format, with faults on demand.

It knows nothing of the rest of the project: what trades against it can only know it by the wire.
"""
