"""A siamese network: one network on two images, the distance of what it says, a margin, a saved and loaded model."""

import os
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim import Adadelta


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, first, second, label):
        distance = F.pairwise_distance(first, second, keepdim=True)
        apart = torch.pow(torch.clamp(self.margin - distance, min=0.0), 2)
        return torch.mean((1 - label) * torch.pow(distance, 2) + label * apart)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(6), nn.Dropout2d(p=0.2), nn.AdaptiveAvgPool2d(4)
        )
        self.fc = nn.Sequential(nn.Linear(6 * 16, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))

    def forward_once(self, x):
        output = self.cnn(x)
        return self.fc(output.view(output.size()[0], -1))

    def forward(self, first, second):
        return self.forward_once(first), self.forward_once(second)


torch.manual_seed(7)
net = Siamese()
first, second = torch.randn(8, 1, 12, 12), torch.randn(8, 1, 12, 12)
label = torch.tensor([0.0, 1.0] * 4).unsqueeze(1)
criterion, optimizer = ContrastiveLoss(), Adadelta(net.parameters(), lr=1.0)
for _ in range(6):
    optimizer.zero_grad()
    loss = criterion(*net(first, second), label)
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.6f}")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "siamese.pt")
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 6}, path)
    checkpoint = torch.load(path, map_location="cpu")
again = Siamese()
again.load_state_dict(checkpoint["model"])
net.eval()
again.eval()
with torch.no_grad():
    print(torch.equal(net(first, second)[0], again(first, second)[0]), checkpoint["epoch"])
