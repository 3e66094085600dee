"""Super-resolution by PixelShuffle: orthogonal initialisation, pictures made smaller, the ratio of signal to noise."""

import math

import torch
import torch.nn as nn
import torch.nn.init as init
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __getitem__(self, index):
        image = self.images[index]
        return nn.functional.avg_pool2d(image.unsqueeze(0), 2).squeeze(0), image

    def __len__(self):
        return len(self.images)


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        init.xavier_uniform_(self.conv1.weight, init.calculate_gain("relu"))
        init.xavier_uniform_(self.conv2.weight)

    def forward(self, x):
        return self.pixel_shuffle(self.conv2(self.relu(self.conv1(x))))


torch.manual_seed(5)
loader = DataLoader(dataset=Pairs(torch.rand(12, 1, 16, 16)), num_workers=0, batch_size=4, shuffle=True)
model = Net(upscale_factor=2)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(3):
    epoch_loss = 0
    for batch in loader:
        input, target = batch[0], batch[1]
        optimizer.zero_grad()
        loss = criterion(model(input), target)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
        print(f"{loss.item():.6f}")
    print(f"{epoch_loss / len(loader):.6f}")
with torch.no_grad():
    mse = sum(criterion(model(small), large).item() for small, large in loader) / len(loader)
print(f"{10 * math.log10(1 / mse):.4f}")
