"""Pure arithmetic from sizes and a transform to a plan. The pipeline and the client share it."""
