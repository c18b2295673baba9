"""Networks: EfficientNet-Lite0 with ImageNet weights, the compact network, and dilated ResNets."""
