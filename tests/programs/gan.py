"""A generative adversarial network: two optimizers, transposed convolutions, initialisation by apply()."""

import torch
import torch.nn as nn
from torch.optim import Adam


def weights_init(module):
    name = module.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


torch.manual_seed(2)
generator = nn.Sequential(
    nn.ConvTranspose2d(12, 16, 4, 1, 0, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(True),
    nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(True),
    nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
discriminator = nn.Sequential(
    nn.Conv2d(1, 8, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(8, 16, 4, 2, 1, bias=False),
    nn.BatchNorm2d(16),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(16, 1, 4, 1, 0, bias=False),
    nn.Sigmoid(),
)
generator.apply(weights_init)
discriminator.apply(weights_init)
criterion = nn.BCELoss()
optimizer_d = Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizer_g = Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
real_images = torch.tanh(torch.randn(32, 1, 16, 16))

for step in range(6):
    real = real_images[step % 4 * 8 : step % 4 * 8 + 8]
    label = torch.full((8,), 1.0)
    discriminator.zero_grad()
    loss_real = criterion(discriminator(real).view(-1), label)
    loss_real.backward()
    fake = generator(torch.randn(8, 12, 1, 1))
    label.fill_(0.0)
    loss_fake = criterion(discriminator(fake.detach()).view(-1), label)
    loss_fake.backward()
    optimizer_d.step()
    generator.zero_grad()
    label.fill_(1.0)
    loss_g = criterion(discriminator(fake).view(-1), label)
    loss_g.backward()
    optimizer_g.step()
    print(f"{(loss_real + loss_fake).item():.6f} {loss_g.item():.6f}")
