"""A detection head: boxes and scores for each cell of a grid, masked losses, overlaps, suppression of the lesser."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Detector(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.BatchNorm2d(16),
            nn.LeakyReLU(0.1),
        )
        self.heads = nn.ModuleDict({"box": nn.Conv2d(16, 4, 1), "object": nn.Conv2d(16, 1, 1)})
        self.classify = nn.Conv2d(16, classes, 1)

    def forward(self, x):
        x = self.backbone(x)
        return self.heads["box"](x).sigmoid(), self.heads["object"](x).squeeze(1), self.classify(x)


def iou(a, b):
    top_left, bottom_right = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
    inside = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    area = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (a, b)]
    return inside / (area[0][:, None] + area[1] - inside)


torch.manual_seed(8)
net = Detector()
images = torch.randn(4, 3, 16, 16)
present = torch.zeros(4, 4, 4)
present[torch.arange(4), torch.tensor([0, 1, 2, 3]), torch.tensor([3, 1, 0, 2])] = 1.0
boxes = torch.rand(4, 4, 4, 4)
classes = torch.randint(0, 2, (4, 4, 4))
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
for _ in range(6):
    box, score, logits = net(images)
    mask = present.bool()
    object_loss = F.binary_cross_entropy_with_logits(score, present, pos_weight=torch.tensor(4.0))
    box_loss = F.smooth_l1_loss(box.permute(0, 2, 3, 1)[mask], boxes.permute(0, 2, 3, 1)[mask])
    class_loss = F.cross_entropy(logits.permute(0, 2, 3, 1)[mask], classes[mask])
    loss = object_loss + 5 * box_loss + class_loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{object_loss.item():.6f} {box_loss.item():.6f} {class_loss.item():.6f}")

corners = torch.rand(12, 2) * 0.5
found = torch.cat([corners, corners + 0.2 + torch.rand(12, 2) * 0.3], dim=1)
order = torch.rand(12).argsort(descending=True)
kept = []
while order.numel() > 0:
    kept.append(order[0].item())
    overlaps = iou(found[order[:1]], found[order[1:]]).squeeze(0)
    order = order[1:][overlaps <= 0.3]
print(kept)
