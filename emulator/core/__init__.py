"""Pure decisions and values: no await, no clock, no input or output."""
