"""`catgan resume`: goes on with a run from its address alone.

Owns reading the command line; what may be overridden and where a run goes on
from is decided in `trainer.launch.door`.
"""

import click

from trainer.cli.answer import begin, json_option
from trainer.command_line import catgan
from trainer.errors import ConfigError


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Go on from this checkpoint, e.g. step-000012000; what came after it no longer counts.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Train on a Ray cluster: local, auto or HOST:PORT; see 'catgan train --help'.",
)
@json_option
def resume(
    run: str,
    overrides: tuple[str, ...],
    from_step: str | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Go on with a run from its newest whole checkpoint.

    RUN is the run's folder or gs://bucket/prefix; its config lies there. More
    steps, other intervals or rates can be given as KEY=VALUE and are recorded
    in the run's history. What would change the networks, the order of the
    pictures or the seed is refused.
    """
    from trainer.run_folder import split_run_address
    from trainer.run_folder.names import parse_step

    if run.endswith((".yaml", ".yml")):
        raise ConfigError(
            f"{run} is a config, not a run",
            expected="the address of a run folder, e.g. runs/cats64",
            remedy=f"{catgan('train', run)} goes on with the run that this config names",
        )
    named_run, named = split_run_address(run)
    step = named if from_step is None else parse_step(from_step)
    if named is not None and step != named:
        raise ConfigError(
            f"{run} names one checkpoint and --from {from_step} another",
            expected="one of the two",
            remedy=catgan("resume", named_run, "--from", from_step),
        )
    begin()
    from trainer.cli.outcome import tell
    from trainer.launch import door
    from trainer.launch.starting import Options

    options = Options(from_step=step, address=address)
    tell(door.resume(named_run, overrides, options), as_json=as_json)
