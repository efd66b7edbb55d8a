"""gandt's stack in moto: SAM transformed here, and what moto's CloudFormation lacks made up for (``account``)."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import boto3

from gandt.deploy import Stack

DATA = "gandt-sagemaker-123456789012-us-east-1"  # the stack's own bucket
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/gandt:1"
# types that moto's CloudFormation passes over, with a warning
UNKNOWN = "AWS::S3::BucketPolicy|AWS::SQS::QueuePolicy|AWS::SNS::TopicPolicy|AWS::CloudWatch::Alarm"


def transformed(template: str) -> str:
    """Do what CloudFormation does with SAM."""
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    return json.dumps(transform(yaml_parse(template), {}, NoPolicies()))


def stack(**options: Any) -> Stack:
    """Return gandt's stack as ``gandt deploy`` handles it."""
    return Stack(transform=transformed, poll=0.01, **options)


@contextmanager
def account(invoke: Callable[[str, Any], Any] | None = None) -> Iterator[None]:
    """An AWS account of moto's, whose Lambdas are ``invoke(function's name, event)``.

    moto leaves AWS::NoValue in lists as null, a stack made by a change set without outputs, and its machines where its
    interpreter doesn't see them; all unlike AWS.
    """
    import moto.cloudformation.parsing as parsing
    from moto import mock_aws
    from moto.awslambda_simple.models import LambdaSimpleBackend
    from moto.cloudformation.models import ChangeSet
    from moto.stepfunctions.models import stepfunctions_backends

    clean, apply = parsing.clean_json, ChangeSet.apply

    def without_nothing(resource: Any, known: Any) -> Any:
        value = clean(resource, known)
        return [each for each in value if each is not None] if isinstance(value, list) else value

    def with_outputs(self: Any) -> None:
        apply(self)
        self.stack.template, self.stack.template_dict = self.template, self.template_dict
        self.stack.output_map = self.stack._create_output_map()
        self.stack.parameters = {**self.stack.parameters, **(self.parameters or {})}

        for machine in stepfunctions_backends[self.stack.account_id][self.stack.region_name].state_machines:
            _interpreted(machine, self.stack)

    def called(self: Any, function_name: str, qualifier: Any, body: Any, headers: Any, response: Any) -> bytes:
        name = function_name.rpartition(":function:")[2] or function_name
        try:
            result = invoke(name, json.loads(body)) if invoke else {}
        except Exception as error:
            response["x-amz-function-error"] = "Unhandled"
            result = {"errorType": type(error).__name__, "errorMessage": str(error)}
        return json.dumps(result).encode()

    config: Any = {"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}
    with (
        patch.object(parsing, "clean_json", without_nothing),
        patch.object(ChangeSet, "apply", with_outputs),
        patch.object(LambdaSimpleBackend, "invoke", called),
        warnings.catch_warnings(),
        mock_aws(config=config),
    ):
        warnings.filterwarnings("ignore", f"Tried to parse ({UNKNOWN})")
        yield


def _interpreted(machine: Any, stack: Any) -> None:
    """Give a machine that CloudFormation made to moto's interpreter, with its substitutions."""
    import moto.cloudformation.parsing as parsing

    definition = machine.definition
    for resource in stack.template_dict["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            given = parsing.clean_json(resource["Properties"]["DefinitionSubstitutions"], stack.resource_map)
            for name, value in given.items():
                definition = definition.replace(f"${{{name}}}", value)
    states = boto3.client("stepfunctions", region_name=stack.region_name)
    with suppress(states.exceptions.StateMachineAlreadyExists):
        states.create_state_machine(name=machine.name, definition=definition, roleArn=machine.roleArn)


def load(folder: str) -> Any:
    """Load a Lambda's handler module from its folder, as AWS does."""
    import importlib.util
    import sys

    from gandt import resources

    place = resources.folder("lambdas") / folder
    sys.path.insert(0, str(place))
    try:
        spec = importlib.util.spec_from_file_location(f"{folder}_in_aws", place / "handler.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(place))
        sys.modules.pop("consolidation", None)


class InProcess:
    """A Lambda of the stack, called in this process (gandt.service.functions.Function)."""

    def __init__(self, folder: str) -> None:
        self._module = load(folder)

    def invoke(self, event: Any) -> Any:
        return self._module.lambda_handler(json.loads(json.dumps(event)), None)


class GroundTruth:
    """The labeling-job operations that moto's SageMaker lacks, by gandt's own engine and a simulated crowd."""

    def __init__(self, workforce: Any) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self._workforce = workforce
        self.rules_met: list[str] = []

    @contextmanager
    def open(self) -> Iterator["GroundTruth"]:
        from moto.core.exceptions import JsonRESTError
        from moto.sagemaker.responses import SageMakerResponse

        def create(response: Any) -> str:
            request = json.loads(response.body)
            arn = f"arn:aws:sagemaker:us-east-1:123456789012:labeling-job/{request['LabelingJobName'].lower()}"
            self.jobs[request["LabelingJobName"]] = {
                **request,
                "LabelingJobArn": arn,
                "LabelingJobStatus": "InProgress",
                "LabelCounters": {},
                "CreationTime": 0,
                "LastModifiedTime": 0,
            }
            return json.dumps({"LabelingJobArn": arn})

        def describe(response: Any) -> str:
            name = json.loads(response.body)["LabelingJobName"]
            if name not in self.jobs:
                raise JsonRESTError("ResourceNotFound", f"labeling job {name} not found")
            return json.dumps({key: value for key, value in self.jobs[name].items() if key != "HumanTaskPrice"})

        with (
            patch.object(SageMakerResponse, "create_labeling_job", create, create=True),
            patch.object(SageMakerResponse, "describe_labeling_job", describe, create=True),
        ):
            yield self

    def finish(self, name: str, status: str = "Completed") -> None:
        """Let the crowd answer, write the output as Ground Truth does, and tell EventBridge."""
        from gandt.service.engine import LabelingJob

        found = self.jobs[name]
        task = found["HumanTaskConfig"]
        functions = {
            task["PreHumanTaskLambdaArn"]: InProcess("pre_annotation"),
            task["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]: InProcess("post_annotation"),
        }
        members = ("LabelingJobName", "LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "HumanTaskConfig")
        if status == "Completed":
            request = {member: found[member] for member in members}
            job = LabelingJob(request, functions, boto3.client("s3", region_name="us-east-1"))
            state = job.run(self._workforce)
            found["LabelCounters"] = state["LabelCounters"]
        else:
            found["FailureReason"] = "ClientError: the template could not be read"
        found["LabelingJobStatus"] = status
        self.tell(found["LabelingJobArn"], status)

    def tell(self, arn: str, status: str) -> None:
        """Send the event to the targets of every rule that it matches, as EventBridge does."""
        events, functions = boto3.client("events"), boto3.client("lambda")
        event = {
            "version": "0",
            "id": "111e1111-11d1-111f-b111-1111b11dcb11",
            "detail-type": "SageMaker Ground Truth Labeling Job State Change",
            "source": "aws.sagemaker",
            "account": "123456789012",
            "time": "2026-11-22T12:00:00Z",
            "region": "us-east-1",
            "resources": [arn],
            "detail": {"LabelingJobStatus": status},
        }
        for rule in events.list_rules()["Rules"]:
            pattern = json.loads(rule["EventPattern"])
            matches = (
                event["source"] in pattern["source"]
                and event["detail-type"] in pattern["detail-type"]
                and status in pattern["detail"]["LabelingJobStatus"]
            )
            if matches:
                self.rules_met.append(rule["Name"])
                for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    answer = functions.invoke(FunctionName=target["Arn"], Payload=json.dumps(event))
                    assert "FunctionError" not in answer, answer["Payload"].read()
