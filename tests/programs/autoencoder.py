"""A variational autoencoder: the reparametrisation, a sum of two losses, samples in a picture."""

import os
import tempfile

import torch
from torch import nn, optim
from torch.nn import functional as F
from torchvision.utils import save_image


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten())
        self.mean = nn.Linear(8 * 36, 4)
        self.logvar = nn.Linear(8 * 36, 4)
        self.decoder = nn.Linear(4, 144)

    def reparameterize(self, mean, logvar):
        std = torch.exp(0.5 * logvar)
        return mean + torch.randn_like(std) * std

    def forward(self, x):
        h = self.encoder(x)
        mean, logvar = self.mean(h), self.logvar(h)
        return torch.sigmoid(self.decoder(self.reparameterize(mean, logvar))), mean, logvar


def loss_function(reconstruction, x, mean, logvar):
    bce = F.binary_cross_entropy(reconstruction, x.view(-1, 144), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    return bce + kld


torch.manual_seed(3)
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-2)
x = torch.rand(16, 1, 12, 12)
for _ in range(8):
    optimizer.zero_grad()
    reconstruction, mean, logvar = model(x)
    loss = loss_function(reconstruction, x, mean, logvar)
    loss.backward()
    optimizer.step()
    print(f"{loss.item() / len(x):.6f}")
with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    sample = model.decoder(torch.randn(16, 4)).cpu()
    path = os.path.join(folder, "sample.png")
    save_image(torch.sigmoid(sample).view(16, 1, 12, 12), path, nrow=4)
    print(os.path.exists(path))
