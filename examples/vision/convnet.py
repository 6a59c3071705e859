"""A small convolutional network in NumPy: forward, backward, Adam, and its form as an ONNX graph.

Every convolution is 3 x 3 with stride 2 and padding 1, followed by ReLU; then come fully connected layers. That is all
the digit models need, and it trains in a minute without a framework of hundreds of megabytes.
"""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

KERNEL, STRIDE, PADDING = 3, 2, 1


class ConvNet:
    """Weights, the layers that use them, and the moments of Adam."""

    def __init__(self, channels, hidden, classes, size, seed):
        generator = np.random.default_rng(seed)
        self.weights = {}
        inside = 1
        for index, outside in enumerate(channels):
            shape = (outside, inside, KERNEL, KERNEL)
            self.weights[f"conv{index}.weight"] = he_normal(generator, shape, inside * KERNEL * KERNEL)
            self.weights[f"conv{index}.bias"] = np.zeros(outside, np.float32)
            inside, size = outside, (size + 2 * PADDING - KERNEL) // STRIDE + 1
        features = inside * size * size
        for index, outside in enumerate([*hidden, classes]):
            self.weights[f"dense{index}.weight"] = he_normal(generator, (features, outside), features)
            self.weights[f"dense{index}.bias"] = np.zeros(outside, np.float32)
            features = outside
        self.convolutions, self.dense = len(channels), len(hidden) + 1
        self.moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in self.weights.items()}
        self.step = 0

    def forward(self, images):
        """Logits, and what the backward pass needs."""
        kept, x = [], images
        for index in range(self.convolutions):
            columns, (rows, cols) = patches(x)
            weight = self.weights[f"conv{index}.weight"]
            flat = columns @ weight.reshape(len(weight), -1).T + self.weights[f"conv{index}.bias"]
            kept.append((columns, x.shape))
            x = np.maximum(flat, 0).reshape(len(x), rows, cols, -1).transpose(0, 3, 1, 2)
            kept.append(x)
        shape = x.shape
        x = x.reshape(len(x), -1)
        for index in range(self.dense):
            kept.append(x)
            x = x @ self.weights[f"dense{index}.weight"] + self.weights[f"dense{index}.bias"]
            x = np.maximum(x, 0) if index + 1 < self.dense else x
        return x, (kept, shape)

    def backward(self, gradient, saved):
        """Gradients of all weights from the gradient of the logits."""
        kept, shape = list(saved[0]), saved[1]
        gradients = {}
        for index in reversed(range(self.dense)):
            x = kept.pop()
            gradients[f"dense{index}.weight"] = x.T @ gradient
            gradients[f"dense{index}.bias"] = gradient.sum(axis=0)
            gradient = (gradient @ self.weights[f"dense{index}.weight"].T) * (x > 0)
        gradient = gradient.reshape(shape)
        for index in reversed(range(self.convolutions)):
            activation, (columns, shape) = kept.pop(), kept.pop()
            weight = self.weights[f"conv{index}.weight"]
            flat = (gradient * (activation > 0)).transpose(0, 2, 3, 1).reshape(-1, len(weight))
            gradients[f"conv{index}.weight"] = (flat.T @ columns).reshape(weight.shape)
            gradients[f"conv{index}.bias"] = flat.sum(axis=0)
            if index:
                gradient = unpatch(flat @ weight.reshape(len(weight), -1), shape, activation.shape[2:])
        return gradients

    def train_step(self, images, labels, rate, decay=1e-4, smoothing=0.05):
        """One step of Adam with decoupled weight decay on the smoothed cross entropy; returns the loss."""
        logits, saved = self.forward(images)
        probabilities = softmax(logits)
        targets = np.full_like(probabilities, smoothing / logits.shape[1])
        targets[np.arange(len(labels)), labels] += 1 - smoothing
        gradients = self.backward((probabilities - targets) / len(labels), saved)
        self.step += 1
        for name, gradient in gradients.items():
            first, second = self.moments[name]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            direction = (first / (1 - 0.9**self.step)) / (np.sqrt(second / (1 - 0.999**self.step)) + 1e-8)
            self.weights[name] -= np.float32(rate) * (direction + decay * self.weights[name])
        return float(-(targets * np.log(probabilities + 1e-9)).sum(axis=1).mean())

    def to_onnx(self, name, size):
        """The network as an ONNX model: `image` FP32 [batch, 1, size, size] to `logits` FP32 [batch, classes]."""
        nodes, x = [], "image"
        for index in range(self.convolutions):
            inputs = [x, f"conv{index}.weight", f"conv{index}.bias"]
            shape = {"kernel_shape": [KERNEL] * 2, "strides": [STRIDE] * 2, "pads": [PADDING] * 4}
            nodes.append(helper.make_node("Conv", inputs, [f"conv{index}"], **shape))
            nodes.append(helper.make_node("Relu", [f"conv{index}"], [x := f"relu{index}"]))
        nodes.append(helper.make_node("Flatten", [x], [x := "flat"], axis=1))
        for index in range(self.dense):
            last = index + 1 == self.dense
            inputs = [x, f"dense{index}.weight", f"dense{index}.bias"]
            nodes.append(helper.make_node("Gemm", inputs, [x := "logits" if last else f"dense{index}"]))
            if not last:
                nodes.append(helper.make_node("Relu", [x], [x := f"{x}.relu"]))
        classes = len(self.weights[f"dense{self.dense - 1}.bias"])
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, size, size])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
        weights = [numpy_helper.from_array(value, key) for key, value in self.weights.items()]
        graph = helper.make_graph(nodes, name, [image], [logits], weights)
        # Without explicit numbers the newest opset is stamped, which ONNX Runtime may not know yet.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        return model


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def he_normal(generator, shape, fan_in):
    return (generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def patches(x):
    """Every 3 x 3 neighbourhood as a row, and how many there are along each axis."""
    padded = np.pad(x, ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))[:, :, ::STRIDE, ::STRIDE]
    extent = windows.shape[2:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * KERNEL * KERNEL), extent


def unpatch(rows, shape, extent):
    """The sum of all neighbourhoods back in place: the transpose of `patches`."""
    count, channels, height, width = shape
    padded = np.zeros((count, channels, height + 2 * PADDING + 1, width + 2 * PADDING + 1), np.float32)
    windows = rows.reshape(count, *extent, channels, KERNEL, KERNEL).transpose(0, 3, 4, 5, 1, 2)
    for row in range(KERNEL):
        for column in range(KERNEL):
            stop_row, stop_column = row + STRIDE * extent[0], column + STRIDE * extent[1]
            padded[:, :, row:stop_row:STRIDE, column:stop_column:STRIDE] += windows[:, :, row, column]
    return padded[:, :, PADDING : PADDING + height, PADDING : PADDING + width]
