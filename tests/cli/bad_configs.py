"""Bad configs, command lines and addresses."""

from tests.cli.bad_input import bad

# Configs.


@bad(2, "cats46.yaml", "did you mean", "cats64.yaml")
def config_missing(place):
    place.file("cats64.yaml")
    return ["train", "cats46.yaml"]


@bad(2, "is a folder", "--pictures", "catgan resume")
def config_is_a_folder(place):
    (place.folder / "cats").mkdir()
    return ["train", "cats"]


@bad(2, "not UTF-8", "byte 0")
def config_is_a_picture(place):
    place.picture("cat.png")
    return ["train", "cat.png"]


@bad(2, "not valid YAML", "line")
def config_is_no_yaml(place):
    place.file("x.yaml", "training:\n  steps: [1\n")
    return ["train", "x.yaml"]


@bad(2, "training.stepz", "training.steps")
def config_key_unknown(place):
    place.file("x.yaml", "training: {stepz: 5}")
    return ["train", "x.yaml"]


@bad(2, "seed", "stands twice", "line 2")
def config_key_twice(place):
    place.file("x.yaml", "seed: 1\nseed: 2")
    return ["train", "x.yaml"]


@bad(2, "alias", "line 2")
def config_with_an_alias_bomb(place):
    place.file("x.yaml", "a: &a [x, x]\nb: [*a, *a]\n")
    return ["train", "x.yaml"]


@bad(2, "training.steps=0", "greater than or equal to 1")
def override_out_of_range(place):
    return ["train", "tiny.yaml", "training.steps=0"]


@bad(2, "precision='half'", "'float16'")
def override_of_another_kind(place):
    return ["train", "tiny.yaml", "precision=half"]


@bad(2, "'training.steps'", "key=value")
def override_without_a_value(place):
    return ["train", "tiny.yaml", "training.steps", "5"]


@bad(2, "seed=1", "the config first")
def override_before_the_config(place):
    return ["train", "seed=1", "tiny.yaml"]


@bad(2, "dataset.lanes=3", "training.global_batch=8", "dataset.lanes=2")
def lanes_that_do_not_divide(place):
    return ["train", "tiny.yaml", "dataset.lanes=3"]


@bad(2, "dataset.size_px=48", "power of two")
def size_that_networks_cannot_have(place):
    return ["train", "tiny.yaml", "dataset.size_px=48"]


@bad(2, "micro_batch=4", "batch norm")
def micro_batch_with_batch_norm(place):
    return ["train", "tiny.yaml", "training.micro_batch=4", "model.generator_norm=batch"]


@bad(2, "label_smoothing=0.1", "relativistic_pairing", "loss.label_smoothing=0")
def smoothing_of_another_loss(place):
    return ["train", "tiny.yaml", "loss.label_smoothing=0.1"]


@bad(2, "nowhere.txt/log", "log.file")
def log_file_that_cannot_be(place):
    place.file("nowhere.txt")
    return ["train", "tiny.yaml", "log.file=nowhere.txt/log"]


@bad(2, "CONFIG", "--pictures")
def train_without_anything(place):
    return ["train"]


@bad(2, "--crop", "dataset.crop")
def crop_of_a_config(place):
    return ["train", "tiny.yaml", "--crop", "face"]


@bad(2, "tiny.yaml", "--pictures", "dataset.source")
def pictures_and_a_config(place):
    return ["train", "--pictures", ".", "tiny.yaml"]


# Addresses.


@bad(2, "s3://", "gs://bucket/prefix")
def address_of_another_cloud(place):
    return ["train", "tiny.yaml", "run=s3://bucket/runs/x"]


@bad(2, "UPPER", "gs://bucket/prefix")
def bucket_name_that_cannot_be(place):
    return ["train", "tiny.yaml", "run=gs://UPPER/x"]


@bad(2, "not an address")
def address_that_is_empty(place):
    return ["train", "tiny.yaml", "run=''"]


@bad(4, "plain.txt")
def run_that_is_a_file(place):
    place.file("plain.txt", "x")
    return ["train", "tiny.yaml", "run=plain.txt"]


@bad(4, "plain.txt")
def run_inside_a_file(place):
    place.file("plain.txt", "x")
    return ["train", "tiny.yaml", "run=plain.txt/run"]


@bad(2, "https://", "bucket")
def source_on_the_web(place):
    return ["prepare", "https://example.com/cats.zip", "set"]


@bad(3, "nothing/train", "prepare")
def data_set_missing_without_a_source(place):
    return ["train", "tiny.yaml", "dataset.source=", "dataset.address=nothing/train"]
