// `train.py`, which goes on with the recipe of a run of cifar-train; the same for every network.

/** `train.py`. */
export const TRAIN = `"""Goes on with a training run of Dawnfield, from where it was exported, by the recipe in run.json.

    python train.py --data cifar-10-batches-bin
    torchrun --nproc_per_node 4 train.py --data cifar-10-batches-bin

A batch is that of the recipe however many processes share it, and batch norms take their statistics over all of it, so that their number does
not change the result but for rounding. After every epoch weights.safetensors, optimizer.safetensors and metrics.jsonl hold where the run
stands: start it again and it goes on from there. \`dawnfield import\` brings it back.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model import make_model
from tensors import read_tensors, write_tensors


class AllSum(torch.autograd.Function):
    """The sum over all processes; the gradient of a sum is summed up as well."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, g):
        g = g.clone()
        dist.all_reduce(g)
        return g


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the parts of a batch that all processes have, on GPUs and CPUs."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        sums = AllSum.apply(torch.cat([x.sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean[:, None, None]
        var = AllSum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]


class Run:
    """Model, optimizer and progress of the run in a folder."""

    def __init__(self, folder, device="cpu"):
        self.folder, self.device = Path(folder), torch.device(device)
        self.about = json.loads((self.folder / "run.json").read_text())
        self.recipe = self.about["recipe"]
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.model = make_model().to(self.device)
        weights, metadata = read_tensors(self.folder / "weights.safetensors")
        self.model.load_state_dict(weights)
        parameters = dict(self.model.named_parameters())
        groups = [{**group, "params": [parameters[name] for name in group["params"]]} for group in self.about["groups"]]
        self.optimizer = torch.optim.SGD(groups, lr=self.recipe["lr"])
        self.rates = [group["lr"] for group in groups]
        kept, kept_metadata = read_tensors(self.folder / "optimizer.safetensors")
        self.progress = json.loads(kept_metadata["progress"])
        if metadata["step"] != kept_metadata["step"]:
            raise SystemExit(f"weights.safetensors is of step {metadata['step']}, optimizer.safetensors of {kept_metadata['step']}: restore one of them")
        for name, parameter in parameters.items():
            if f"momentum/{name}" in kept:
                self.optimizer.state[parameter]["momentum_buffer"] = kept[f"momentum/{name}"].to(self.device)
        for name, buffer in self.model.named_buffers():
            if name in kept:
                buffer.copy_(kept[name])
        self.net = self.model
        if self.world > 1:
            for module in self.model.modules():
                if type(module) is nn.BatchNorm2d:
                    module.__class__ = SharedBatchNorm
            self.net = DistributedDataParallel(self.model, broadcast_buffers=False)

    def save(self):
        if self.rank:
            return
        step = {"step": str(self.progress["step"])}
        kept = {
            f"momentum/{name}": self.optimizer.state[parameter]["momentum_buffer"]
            for name, parameter in self.model.named_parameters()
            if self.optimizer.state.get(parameter, {}).get("momentum_buffer") is not None
        }
        weights = self.model.state_dict()
        kept.update((name, x) for name, x in self.model.named_buffers() if name not in weights)
        write_tensors(self.folder / "weights.safetensors", weights, step)
        write_tensors(self.folder / "optimizer.safetensors", kept, {**step, "progress": json.dumps(self.progress)})

    def set_rates(self, epoch):
        recipe = self.recipe
        if recipe.get("schedule") == "cosine":
            factor = (1 + math.cos(math.pi * epoch / recipe["epochs"])) / 2
        else:
            factor = recipe["gamma"] ** sum(epoch >= milestone for milestone in recipe["milestones"])
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * factor

    def step(self, images, targets):
        """One update on a whole batch, of which every process takes its part. The sum of the loss over the part, and its scores."""
        begin, end = (len(images) * r // self.world for r in (self.rank, self.rank + 1))
        scores = self.net(images[begin:end])
        loss = F.cross_entropy(scores, targets[begin:end], label_smoothing=self.recipe.get("labelSmoothing", 0.0), reduction="sum")
        self.optimizer.zero_grad()
        (loss * self.world / len(images)).backward()  # processes are averaged
        self.optimizer.step()
        if hasattr(self.model, "sort_particles"):
            self.model.sort_particles(self.optimizer)
        self.progress["step"] += 1
        return loss.detach(), scores.detach(), slice(begin, end)

    def total(self, *numbers):
        """Sums over all processes."""
        sums = torch.stack([torch.as_tensor(x, dtype=torch.float64, device=self.device) for x in numbers])
        if self.world > 1:
            dist.all_reduce(sums)
        return sums.tolist()


class Data:
    """Images as bytes, where the network is."""

    def __init__(self, run, path):
        arrays = read_images(run, path)
        self.run = run
        self.train, self.test = ([torch.from_numpy(x).to(run.device) for x in pair] for pair in arrays)
        self.mean, self.std = (torch.tensor(run.about["dataset"][name], device=run.device).view(1, 3, 1, 1) for name in ("mean", "std"))

    def normalise(self, images):
        return (images.float() / 255 - self.mean) / self.std

    def shrink(self, images):
        size = self.run.recipe.get("size", images.shape[-1])
        return images if size == images.shape[-1] else F.adaptive_avg_pool2d(images, size)

    def batches(self, epoch, skip):
        """The batches of an epoch from image \`skip\` on: the same ones whatever the number of processes."""
        recipe, (images, labels) = self.run.recipe, self.train
        generator = torch.Generator().manual_seed(recipe["seed"] * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for begin in range(0, len(images), recipe["batch"]):
            places = order[begin : begin + recipe["batch"]]
            draws = draw(len(places), recipe, generator)
            if len(places) < max(self.run.world, min(2, recipe["batch"])) or begin < skip:
                continue
            places = places.to(images.device)
            batch, targets = images[places], labels[places]
            if recipe["augment"]:
                batch = crop_and_flip(batch, *draws[:3])
            batch = self.normalise(batch)
            if recipe.get("cutout"):
                batch = cut_out(batch, draws[3], recipe["cutout"])
            yield self.shrink(batch), targets

    def test_error(self):
        run, (images, labels) = self.run, self.test
        if not len(images):
            return None
        run.model.eval()
        loss = wrong = torch.zeros((), device=run.device)
        size = run.recipe.get("testBatch", run.recipe["batch"])
        with torch.no_grad():
            for begin in range(run.rank * size, len(images), size * run.world):
                scores = run.model(self.shrink(self.normalise(images[begin : begin + size])))
                answers = labels[begin : begin + size]
                loss = loss + F.cross_entropy(scores, answers, label_smoothing=run.recipe.get("labelSmoothing", 0.0), reduction="sum")
                wrong = wrong + (scores.argmax(1) != answers).sum()
        loss, wrong = run.total(loss, wrong)
        return loss / len(images), 100 * wrong / len(images)


def draw(count, recipe, generator):
    """What happens to the images of a batch: the corner of the crop, the flip, and the centre of what is cut out."""
    dy, dx = torch.randint(0, 9, (2, count), generator=generator)
    flip = torch.rand(count, generator=generator) < 0.5
    return dy, dx, flip, torch.randint(0, 32, (2, count), generator=generator)


def crop_and_flip(images, dy, dx, flip):
    """A window of the image with a border of four black pixels, mirrored half of the time."""
    count, channels, height, width = images.shape
    rows = dy[:, None] + torch.arange(height)
    columns = dx[:, None] + torch.arange(width)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    image, channel = (torch.arange(n, device=images.device) for n in (count, channels))
    padded = F.pad(images, (4, 4, 4, 4))
    return padded[image[:, None, None, None], channel[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def cut_out(images, centres, side):
    """A square of zeros around the centre, as far as it is inside of the image."""
    rows, columns = (torch.arange(32) - c[:, None] + side // 2 for c in centres)
    hole = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None, :]
    return images.masked_fill(hole.to(images.device), 0)


def read_images(run, path):
    """(images, labels) to train on and to test on: those that were exported, or CIFAR's binary files."""
    exported = run.folder / "data.npz"
    if exported.exists():
        with np.load(exported) as arrays:
            return [(arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64)) for split in ("train", "test")]
    name = run.about["dataset"]["name"]
    hundred = name == "cifar100"
    files = [["train.bin"], ["test.bin"]] if hundred else [[f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]]
    path = Path(path or os.environ.get("DAWNFIELD_DATA", "."))
    inside = path / ("cifar-100-binary" if hundred else "cifar-10-batches-bin")
    folder = inside if inside.exists() else path
    if not (folder / files[0][0]).exists():
        raise SystemExit(f"{folder}: there is no {files[0][0]}: pass the folder of {name}'s binary files, --data FOLDER")
    splits = []
    for names in files:
        records = np.concatenate([np.fromfile(folder / file, np.uint8) for file in names]).reshape(-1, 3074 if hundred else 3073)
        splits.append((records[:, -3072:].reshape(-1, 3, 32, 32), records[:, -3073].astype(np.int64)))
    return splits


def train(run, data, most_steps=math.inf):
    """Epochs until the end of the recipe, or so many steps. Returns whether the recipe has come to its end."""
    progress, recipe = run.progress, run.recipe
    last = min(progress["step"] + most_steps, recipe.get("steps", math.inf))
    while progress["epoch"] < recipe["epochs"] and progress["step"] < last:
        epoch, began, seconds = progress["epoch"], time.perf_counter(), progress["epochSeconds"]
        run.set_rates(epoch)
        run.model.train()
        loss = correct = torch.zeros((), device=run.device)
        images, whole = 0, True
        for batch, targets in data.batches(epoch, progress["position"]):
            if progress["step"] >= last:
                whole = False
                break
            part, scores, mine = run.step(batch, targets)
            loss, correct = loss + part, correct + (scores.argmax(1) == targets[mine]).sum()
            images += len(batch)
        loss, correct = run.total(loss, correct)
        if not math.isfinite(loss):
            raise SystemExit(f"the loss was not finite in epoch {epoch + 1}: nothing was saved since step {progress['step']}")
        for name, more in (("loss", loss), ("correct", round(correct)), ("images", images), ("position", images)):
            progress[name] += more
        spent = time.perf_counter() - began
        progress["seconds"] += spent
        progress["epochSeconds"] = seconds + spent
        if whole:
            finish_epoch(run, data, images / spent)
        run.save()
    return progress["epoch"] >= recipe["epochs"] or progress["step"] >= recipe.get("steps", math.inf)


def finish_epoch(run, data, speed):
    progress, recipe = run.progress, run.recipe
    epoch = progress["epoch"] + 1
    line = {
        "type": "epoch", "epoch": epoch, "step": progress["step"], "trainLoss": progress["loss"] / progress["images"],
        "trainError": 100 - 100 * progress["correct"] / progress["images"],
    }
    tested = data.test_error() if epoch == recipe["epochs"] or epoch % recipe["evalEvery"] == 0 else None
    if tested:
        line["testLoss"], line["testError"] = tested
        progress["testError"] = tested[1]
        if progress["bestError"] is None or tested[1] < progress["bestError"]:
            progress["bestError"], progress["bestEpoch"] = tested[1], epoch
    line.update(lr=run.optimizer.param_groups[0]["lr"], seconds=progress["epochSeconds"], imagesPerSecond=speed)
    stages = [(name, module) for name, module in run.model.named_children() if hasattr(module, "tau")]
    if stages:
        line["stages"] = [{"stage": name, "tau": s.tau.tolist(), "order": s.ids.tolist(), "swaps": s.swaps} for name, s in stages]
        for _, stage in stages:
            stage.swaps = 0
    progress.update(epoch=epoch, trainLoss=line["trainLoss"], position=0, loss=0, correct=0, images=0, epochSeconds=0)
    if run.rank == 0:
        with open(run.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\\n")
        test = f", test error {tested[1]:.2f} %" if tested else ""
        print(f"epoch {epoch}: loss {line['trainLoss']:.4f}, train error {line['trainError']:.2f} %{test}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the data set's binary files (default: DAWNFIELD_DATA)")
    parser.add_argument("--steps", type=int, default=math.inf, help="stop after so many steps, and go on at the next call")
    parser.add_argument("--cpu", action="store_true", help="use no GPU")
    options = parser.parse_args()
    cuda = torch.cuda.is_available() and not options.cpu
    if "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    run = Run(Path(__file__).parent, device)
    ended = train(run, Data(run, options.data), options.steps)
    if run.rank == 0:
        print("done" if ended else f"stopped after step {run.progress['step']}: the same command goes on")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
`;
