"""Which layer to read: a cheap sweep over the layers of a target, without training.

::

    rows            the same rows read at every layer in one forward pass
    questions       what probes are asked: what stands around a token, and known facts
    decodability    what each layer knows, and how far one is behind another
    ridge           how much of a layer a text can carry
    norms           how large and how uneven its vectors are
    choice          the rule that recommends a layer, and the truth held against it
    sweep           all of it: :func:`~nlakit.evaluate.layers.sweep.sweep_layers`
    drawing         the picture
"""
