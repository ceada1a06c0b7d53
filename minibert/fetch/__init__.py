"""Downloads: weights by huggingface_hub, datasets by pooch, verified wherever a sha256 is known."""
