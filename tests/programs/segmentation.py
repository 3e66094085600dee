"""A small U-Net: skip connections by cat(), a class for each pixel, ignored pixels, the share of the intersection."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.layers(x)


class UNet(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.inc = DoubleConv(3, 8)
        self.down = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
        self.up = nn.ConvTranspose2d(16, 8, kernel_size=2, stride=2)
        self.conv = DoubleConv(16, 8)
        self.outc = nn.Conv2d(8, classes, kernel_size=1)

    def forward(self, x):
        skip = self.inc(x)
        x = self.up(self.down(skip))
        dy, dx = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        x = F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.outc(self.conv(torch.cat([skip, x], dim=1)))


torch.manual_seed(4)
net = UNet()
images = torch.randn(4, 3, 19, 17)
masks = (images.sum(1) > 0).long() + (images[:, 0] > 1).long()
masks[:, 0, :4] = 255
criterion = nn.CrossEntropyLoss(ignore_index=255)
optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9)
for _ in range(6):
    loss = criterion(net(images), masks)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    print(f"{loss.item():.6f}")
net.eval()
with torch.no_grad():
    predicted = net(images).argmax(dim=1)
valid = masks != 255
both = ((predicted == 1) & (masks == 1) & valid).sum().float()
either = (((predicted == 1) | (masks == 1)) & valid).sum().float()
print(f"{(both / (either + 1e-6)).item():.1f}")
