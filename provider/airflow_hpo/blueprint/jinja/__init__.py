"""
Commands as Jinja templates, without Jinja: what a value cannot do, no template can.

The part of the language that commands use: values, arithmetic, comparisons,
filters and tests from short lists, ``if``, ``for`` and ``set``. There are no
attributes, no calls but ``range``, no macros and no files. A dot reads a key of
a mapping, nothing else; numbers, texts and loops are bounded.

==============================  ===============================================
``{{ name }}``                  the value, quoted for the shell; nothing where
                                there is none
``{{ params['my-lr'] }}``       the same by any name; ``{{ params.lr }}``
``{{ lr * 2 }}``                what an expression yields, quoted likewise
``{{ '--bn' if bn else '' }}``  text that the template itself holds: as it is
``{% if bn %}--bn{% endif %}``  text outside of braces: as it is
==============================  ===============================================

Values print as Python does it: ``True``, ``[1, 2]``, ``1e-05``.
"""

from __future__ import annotations

from airflow_hpo.blueprint.jinja.template import JinjaTemplate

__all__ = ["JinjaTemplate"]
