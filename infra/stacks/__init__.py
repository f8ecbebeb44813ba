"""The CloudFormation stacks of a stage: what holds data, what serves, what meters."""
