// `train.py` of a run of gpt.

export const TRAIN_GPT = `"""Goes on with a run of Dawnfield's gpt, from where it was exported, by the recipe in run.json.

    python train.py --steps 2000 --generate 300
    torchrun --nproc_per_node 4 train.py --steps 2000

A batch is that of the recipe however many processes share it. Every 250 steps, and at the end, weights.safetensors, optimizer.safetensors and
metrics.jsonl hold where the run stands: start it again and it goes on from there. \`dawnfield import\` brings it back.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from model import make_model
from tensors import read_tensors, write_tensors

SAVE_EVERY = 250
KEPT = ("exp_avg", "exp_avg_sq")


class Run:
    """Model, optimizer, text and progress of the run in a folder."""

    def __init__(self, folder, device="cpu"):
        self.folder, self.device = Path(folder), torch.device(device)
        self.about = json.loads((self.folder / "run.json").read_text())
        self.recipe = self.about["recipe"]
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.model = make_model().to(self.device)
        weights, metadata = read_tensors(self.folder / "weights.safetensors")
        self.model.load_state_dict(weights)
        self.parameters = dict(self.model.named_parameters())
        groups = [{**group, "params": [self.parameters[name] for name in group["params"]]} for group in self.about["groups"]]
        self.optimizer = torch.optim.AdamW(groups)
        kept, kept_metadata = read_tensors(self.folder / "optimizer.safetensors")
        self.progress = json.loads(kept_metadata["progress"])
        if metadata["step"] != kept_metadata["step"]:
            raise SystemExit(f"weights.safetensors is of step {metadata['step']}, optimizer.safetensors of {kept_metadata['step']}: restore one of them")
        updates = self.about.get("options", {}).get("steps", {}).get("data", [0] * len(self.parameters))
        since = self.progress["step"] - self.about["step"]
        for name, count in zip(self.about["parameters"], updates):
            if f"exp_avg/{name}" in kept:
                buffers = {key: kept[f"{key}/{name}"].to(self.device) for key in KEPT}
                self.optimizer.state[self.parameters[name]] = {"step": torch.tensor(float(count + since)), **buffers}
        number = {character: i for i, character in enumerate(self.recipe["characters"])}
        text = (self.folder / "text.txt").read_bytes().decode()
        self.tokens = torch.tensor([number[character] for character in text if character in number], device=self.device)
        self.net = DistributedDataParallel(self.model) if self.world > 1 else self.model

    def save(self):
        if self.rank:
            return
        step = {"step": str(self.progress["step"])}
        kept = {f"{key}/{name}": self.optimizer.state[x][key] for name, x in self.parameters.items() for key in KEPT if x in self.optimizer.state}
        write_tensors(self.folder / "weights.safetensors", self.model.state_dict(), step)
        write_tensors(self.folder / "optimizer.safetensors", kept, {**step, "progress": json.dumps(self.progress)})

    def draw(self):
        """Random pieces of the text, and what comes a character later: the same ones whatever the number of processes."""
        length = self.recipe["context"]
        generator = torch.Generator().manual_seed(self.recipe["seed"] * 1_000_003 + self.progress["step"])
        starts = torch.randint(len(self.tokens) - length, (self.recipe["batch"], 1), generator=generator)
        pieces = self.tokens[(starts + torch.arange(length + 1)).to(self.device)]
        return pieces[:, :-1], pieces[:, 1:]

    def step(self, inputs, targets):
        """One update on a whole batch, of which every process takes its part. The mean loss of the batch."""
        begin, end = (len(inputs) * r // self.world for r in (self.rank, self.rank + 1))
        logits = self.net(inputs[begin:end])
        loss = F.cross_entropy(logits.flatten(0, 1), targets[begin:end].flatten(), reduction="sum") / targets.numel()
        self.optimizer.zero_grad()
        (loss * self.world).backward()  # processes are averaged
        self.optimizer.step()
        self.progress["step"] += 1
        loss = loss.detach()
        if self.world > 1:
            dist.all_reduce(loss)
        return loss


def train(run, last):
    began, first = time.perf_counter(), run.progress["step"]
    run.model.train()
    while run.progress["step"] < last:
        loss = run.step(*run.draw())
        step = run.progress["step"]
        if step % 50 and step < last:
            continue
        value, seconds = loss.item(), time.perf_counter() - began
        if not math.isfinite(value):
            raise SystemExit(f"the loss was not finite after step {step}: nothing was saved since the last checkpoint")
        run.progress["loss"] = value
        if run.rank == 0:
            print(f"step {step}: loss {value:.4f}", flush=True)
            speed = run.recipe["batch"] * (step - first) / seconds
            line = {"type": "step", "step": step, "epoch": 1, "loss": value, "lr": run.recipe["lr"], "imagesPerSecond": speed, "time": seconds}
            with open(run.folder / "metrics.jsonl", "a") as file:
                file.write(json.dumps(line) + "\\n")
        if step % SAVE_EVERY == 0 or step >= last:
            run.save()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="updates of the weights in all (default: the recipe's)")
    parser.add_argument("--generate", type=int, default=0, help="characters to write at the end")
    parser.add_argument("--cpu", action="store_true", help="use no GPU")
    options = parser.parse_args()
    cuda = torch.cuda.is_available() and not options.cpu
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    run = Run(Path(__file__).parent, device)
    if run.recipe["batch"] < run.world:
        raise SystemExit(f"a batch of {run.recipe['batch']} cannot be shared by {run.world} processes")
    last = run.recipe["steps"] if options.steps is None else options.steps
    train(run, last)
    if run.rank == 0:
        print(f"at step {run.progress['step']} of {last}")
        if options.generate:
            run.model.eval()
            tokens = run.model.generate(run.tokens[None, :8], options.generate, temperature=0.8)
            print("".join(run.recipe["characters"][token] for token in tokens[0].tolist()))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
`;
