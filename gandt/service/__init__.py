"""gandt's own labeling service: it keeps SageMaker Ground Truth's contract, in one process, without AWS."""
