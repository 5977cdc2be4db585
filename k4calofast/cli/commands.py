"""The subcommands of `k4calofast`."""

from __future__ import annotations

import typer

from k4calofast.cli import (
    compare,
    convert,
    ensemble,
    fullsim,
    models,
    reduce,
    refine,
    request,
    train,
    tune,
    validate,
)

app = typer.Typer(
    name="k4calofast",
    help="Calorimeter fast simulation: samples, training and validation of generators. "
    "The simulation itself runs with `k4run options/fastsim.py`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("fullsim")(fullsim.fullsim)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("refine")(refine.refine)
app.command("reduce")(reduce.reduce)
app.command("validate")(validate.validate)
app.command("request")(request.request)
app.command("compare")(compare.compare)
app.command("ensemble")(ensemble.ensemble)
app.command("convert")(convert.convert)
app.add_typer(models.app, name="models")
