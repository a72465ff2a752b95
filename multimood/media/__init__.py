"""From what a person sent (untrusted bytes, words) to the tensors that the encoders take."""
