"""Bad runs and checkpoints, and bad wishes of them."""

import json

from tests.cli.bad_input import bad, change_json, flip


@bad(5, "runs/none", "config.yaml")
def resume_of_nothing(place):
    return ["resume", "runs/none"]


@bad(2, "tiny.yaml", "catgan train tiny.yaml")
def resume_of_a_config(place):
    return ["resume", "tiny.yaml"]


@bad(5, "step-000000003", "step-000000002")
def resume_from_a_step_that_is_not_there(place):
    return ["resume", place.run(), "--from", "3"]


@bad(2, "'latest'", "step-000012000")
def resume_from_a_word(place):
    return ["resume", place.run(), "--from", "latest"]


@bad(2, "step-000000002", "--from 4")
def resume_from_two_steps(place):
    return ["resume", place.run() / "checkpoints/step-000000002", "--from", "4"]


@bad(2, "model.base_channels", "4", "8", "shapes of the weights")
def resume_with_other_networks(place):
    return ["resume", place.run(), "model.base_channels=8"]


@bad(2, "seed", "every draw")
def resume_with_another_seed(place):
    return ["resume", place.run(), "seed=5"]


@bad(2, "training.global_batch", "order of the pictures")
def resume_with_another_batch(place):
    return ["resume", place.run(), "training.global_batch=16"]


@bad(2, "loss.r1_weight", "catgan resume", "run=")
def another_config_on_a_run(place):
    place.run()
    return ["train", "tiny.yaml", "loss.r1_weight=3"]


@bad(5, "fingerprint")
def other_pictures_under_a_run(place):
    run = place.run()
    change = json.loads((run / "run.json").read_text())
    change["dataset"]["fingerprint"] = "0" * 32
    (run / "run.json").write_text(json.dumps(change))
    return ["resume", run, "training.steps=6"]


@bad(5, "run.json", "not JSON")
def run_record_broken(place):
    run = place.run()
    (run / "run.json").write_text('{"name": ')
    return ["resume", run, "training.steps=6"]


@bad(5, "format version 9")
def run_record_of_a_newer_program(place):
    run = place.run()
    change_json(run / "run.json", format_version=9)
    return ["resume", run, "training.steps=6"]


@bad(5, "step-000000002", "step-000000004", "whole")
def all_checkpoints_damaged(place):
    run = place.run()
    for part in run.rglob("*.safetensors"):
        flip(part)
    return ["resume", run, "training.steps=6"]


@bad(5, "step-000000004", "is missing")
def chosen_checkpoint_without_a_part(place):
    run = place.run()
    for part in (run / "checkpoints/step-000000004").glob("*.safetensors"):
        part.unlink()
    return ["resume", run, "training.steps=6", "--from", "step-000000004"]


@bad(5, "manifest.json", "not JSON")
def chosen_checkpoint_with_a_broken_manifest(place):
    run = place.run()
    (run / "checkpoints/step-000000004/manifest.json").write_text("{")
    return ["resume", run, "training.steps=6", "--from", "4"]


@bad(5, "runs/none")
def pictures_from_nothing(place):
    return ["generate", "runs/none", "--out", "drawn"]


@bad(5, "broken.keras")
def pictures_from_a_broken_generator(place):
    place.file("broken.keras", "no model")
    return ["generate", "broken.keras", "--out", "drawn"]


@bad(2, "count 0")
def no_pictures_wanted(place):
    return ["generate", place.run(), "--out", "drawn", "--count", "0"]


@bad(2, "truncation 0.01", "--truncation 1.0")
def truncation_to_nothing(place):
    return ["generate", place.run(), "--out", "drawn", "--truncation", "0.01"]


@bad(4, "plain.txt")
def pictures_into_a_file(place):
    place.file("plain.txt", "x")
    return ["generate", place.run(), "--out", "plain.txt", "--count", "1"]


@bad(3, "neither manifest.json nor run.json", "tiny.yaml")
def inspection_of_something_else(place):
    return ["inspect", "."]


@bad(5, "step-000000009", "step-000000004")
def inspection_of_a_step_that_is_not_there(place):
    return ["inspect", place.run() / "checkpoints/step-000000009"]


@bad(2, "training.steps=4", "--steps")
def verification_of_too_few_steps(place):
    return ["verify-resume", "tiny.yaml"]
