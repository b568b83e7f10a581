"""Publishing a pair on the Hugging Face Hub: what is uploaded, what must not be, and the model card that goes along."""
