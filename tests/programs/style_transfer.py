"""Style transfer: a frozen network of features, Gram matrices, reflected padding, instance norm, upsampling."""

import torch
import torch.nn.functional as F
from torch import nn, optim


class ConvLayer(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x):
        return self.conv2d(self.reflection_pad(x))


class TransformerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = ConvLayer(3, 8, 5, 1)
        self.in1 = nn.InstanceNorm2d(8, affine=True)
        self.conv2 = ConvLayer(8, 12, 3, 2)
        self.in2 = nn.InstanceNorm2d(12, affine=True)
        self.conv3 = ConvLayer(12, 3, 3, 1)

    def forward(self, x):
        y = F.relu(self.in1(self.conv1(x)))
        y = F.relu(self.in2(self.conv2(y)))
        return self.conv3(F.interpolate(y, mode="nearest", scale_factor=2))


def gram_matrix(y):
    b, ch, h, w = y.size()
    features = y.view(b, ch, w * h)
    return features.bmm(features.transpose(1, 2)) / (ch * h * w)


torch.manual_seed(6)
features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1))
for param in features.parameters():
    param.requires_grad = False
model = TransformerNet()
optimizer = optim.Adam(model.parameters(), 1e-3)
mse_loss = nn.MSELoss()
x, style = torch.rand(2, 3, 16, 16), torch.rand(1, 3, 16, 16).repeat(2, 1, 1, 1)
gram_style = gram_matrix(features(style))
for _ in range(6):
    optimizer.zero_grad()
    y = model(x)
    content_loss = mse_loss(features(y), features(x))
    style_loss = 1e2 * mse_loss(gram_matrix(features(y)), gram_style)
    total_loss = content_loss + style_loss
    total_loss.backward()
    optimizer.step()
    print(f"{content_loss.item():.6f} {style_loss.item():.6f}")
