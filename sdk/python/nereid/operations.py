"""What plugins do with tensors most often, done by the host at the machine's own speed: images, layouts, numbers, rankings,
texts. Nothing is copied into the plugin's memory, so that a plugin in Python is as fast as one in Rust.

    def preprocess(files, index):
        photograph = operations.decode_image(files, index, channels=3)
        small = operations.resize(photograph, 224, 224, "antialiased-bilinear")
        normalised = operations.normalise(small, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], scale=1 / 255)
        return operations.to_channels_first(normalised)

Axes are counted from the outside, from 0 on; negative ones from the inside, from -1 on. An image is a tensor
`[height, width, channels]`; most operations also take a batch of images of one size. Errors say operation, argument,
expected and found.
"""

from wit_world.imports import operations as host

from . import values
from .errors import raised_by_host
from .tensor import Tensor, dtype_of

_RESAMPLINGS = {resampling.name.lower().replace("_", "-"): resampling for resampling in host.Resampling}


def decode_image(
    files: Tensor, index: int = 0, channels: int = 0, *, keep_orientation: bool = False, pixels_max: int | None = None
) -> Tensor:
    """Decodes element `index` of a BYTES tensor, or a flat UINT8 tensor: a whole JPEG, PNG or WebP file. Gives UINT8
    `[height, width, channels]` with 1 (grey), 3 (red, green, blue) or 4 channels (with alpha), or 0 for the file's own.

    `keep_orientation`: pixels are not turned upright as EXIF says. Larger images than `pixels_max` are refused."""
    options = values.options(keep_orientation=keep_orientation, pixels_max=pixels_max)
    return _made(host.decode_image, files._handle, index, channels, options)


def resize(image: Tensor, height: int, width: int, resampling: str = "antialiased-bilinear") -> Tensor:
    """Images of UINT8 or FP32 at another size. `resampling` is `nearest`, `bilinear` (OpenCV's `INTER_LINEAR`),
    `antialiased-box`, `antialiased-bilinear` (torchvision's default), `antialiased-bicubic` or `antialiased-lanczos`."""
    if resampling not in _RESAMPLINGS:
        raise ValueError(f"no resampling is called {resampling!r}, expected one of {', '.join(_RESAMPLINGS)}")
    return _made(host.resize, image._handle, height, width, _RESAMPLINGS[resampling])


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A part of each image."""
    return _made(host.crop, image._handle, host.Window(top, left, height, width))


def normalise(tensor: Tensor, mean, deviation, *, scale: float = 1.0, axis: int = -1) -> Tensor:
    """`(x * scale - mean) / deviation` as FP32. `mean` and `deviation` have one value for all elements or one for each place
    along `axis`: -1 for the channels of an image, -3 once they are planes."""
    return _made(host.normalise, tensor._handle, float(scale), _floats(mean), _floats(deviation), axis)


def affine(tensor: Tensor, scale, bias=(), *, axis: int = -1) -> Tensor:
    """`x * scale + bias` as FP32; numbers or lists as in `normalise`."""
    return _made(host.affine, tensor._handle, _floats(scale), _floats(bias), axis)


def to_channels_first(tensor: Tensor) -> Tensor:
    """From `[…, height, width, channels]` to `[…, channels, height, width]`."""
    return _made(host.to_channels_first, tensor._handle)


def to_channels_last(tensor: Tensor) -> Tensor:
    """From `[…, channels, height, width]` to `[…, height, width, channels]`."""
    return _made(host.to_channels_last, tensor._handle)


def transpose(tensor: Tensor, axes) -> Tensor:
    """The dimensions in another order: `axes` has the old one for each new one, as in NumPy."""
    return _made(host.transpose, tensor._handle, list(axes))


def cast(tensor: Tensor, data_type: str, *, refuse_overflow: bool = False, round: bool = False) -> Tensor:
    """The same numbers as another type. What does not fit becomes the nearest number that does, or with `refuse_overflow` an
    error; fractions are cut off for integers, or with `round` go to the nearest one, halves to the even one."""
    return _made(host.cast, tensor._handle, dtype_of(data_type), values.options(refuse_overflow=refuse_overflow, round=round))


def concat(tensors, axis: int = 0) -> Tensor:
    """Tensors of one type one behind the other along an axis that they have."""
    return _made(host.concat, [tensor._handle for tensor in tensors], axis)


def stack(tensors, axis: int = 0) -> Tensor:
    """Tensors of one type and shape one behind the other along a new axis: images to a batch with axis 0."""
    return _made(host.stack, [tensor._handle for tensor in tensors], axis)


def split(tensor: Tensor, extents, axis: int = 0) -> list:
    """One tensor as several along an axis, as long as `extents` says. Costs no copy along the outermost axis."""
    with raised_by_host():
        return [Tensor(part) for part in host.split(tensor._handle, list(extents), axis)]


def pad(tensor: Tensor, before, after, value: float = 0.0) -> Tensor:
    """Elements of one value around a tensor of numbers: how many before and after, dimension by dimension."""
    return _made(host.pad, tensor._handle, list(before), list(after), float(value))


def softmax(tensor: Tensor, axis: int = -1) -> Tensor:
    """Probabilities along an axis, FP32."""
    return _made(host.softmax, tensor._handle, axis)


def argmax(tensor: Tensor, axis: int = -1) -> Tensor:
    """The place of the largest element along an axis, INT64; the axis goes."""
    return _made(host.argmax, tensor._handle, axis)


def top_k(tensor: Tensor, k: int, axis: int = -1) -> tuple:
    """The `k` largest elements along an axis, in order, and their places as INT64: `values, indices = top_k(scores, 5)`."""
    with raised_by_host():
        ranked = host.top_k(tensor._handle, k, axis)
    return Tensor(ranked.values), Tensor(ranked.indices)


def suppress(
    boxes: Tensor,
    scores: Tensor,
    overlap: float,
    *,
    classes: Tensor | None = None,
    score_min: float | None = None,
    kept_max: int | None = None,
    form: str = "corners",
) -> Tensor:
    """Non-maximum suppression: of boxes `[n, 4]` that overlap by more than `overlap` (intersection over union) the one with
    the higher score. Gives the numbers of those kept, by falling score, INT64. Boxes of different `classes` leave each other
    alone. `form` is `corners` (left, top, right, bottom), `centre` (middle, width, height) or `top-left` (left, top, width,
    height)."""
    score_min = None if score_min is None else float(score_min)
    options = values.options(form=form, score_min=score_min, kept_max=kept_max)
    classes = None if classes is None else classes._handle
    return _made(host.non_maximum_suppression, boxes._handle, scores._handle, classes, float(overlap), options)


def encode_base64(tensor: Tensor, *, url_safe: bool = False, unpadded: bool = False) -> Tensor:
    """Every element of a BYTES tensor as base64; `url_safe` with `-` and `_`, `unpadded` without `=` at the end."""
    return _made(host.encode_base64, tensor._handle, values.options(url_safe=url_safe, unpadded=unpadded))


def decode_base64(tensor: Tensor, *, url_safe: bool = False) -> Tensor:
    """What every element of a BYTES tensor encodes, with `=` at the end or without."""
    return _made(host.decode_base64, tensor._handle, values.options(url_safe=url_safe))


def texts(tensor: Tensor, first: int = 0, count: int | None = None) -> list:
    """`count` elements of a BYTES tensor from number `first` on, or all of them, as `str`. One that is not UTF-8 is an error."""
    count = tensor.size - first if count is None else count
    with raised_by_host():
        return host.texts(tensor._handle, first, count)


def from_texts(shape, texts) -> Tensor:
    """A BYTES tensor of texts."""
    return _made(host.from_texts, list(shape), list(texts))


def blob_bytes(tensor: Tensor, index: int = 0) -> Tensor:
    """The bytes of one element of a BYTES tensor as a UINT8 tensor. Costs no copy."""
    return _made(host.blob_bytes, tensor._handle, index)


def _made(operation, *arguments) -> Tensor:
    with raised_by_host():
        return Tensor(operation(*arguments))


def _floats(numbers) -> list:
    return [float(numbers)] if isinstance(numbers, (int, float)) else [float(number) for number in numbers]
