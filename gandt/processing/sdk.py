"""The same job through the SageMaker Python SDK, version 3, for teams that live in it; boto3 alone does as well."""

from collections.abc import Mapping
from typing import Any

from gandt.errors import extra


def processor(request: Mapping[str, Any], *, session: Any = None) -> Any:
    """Return the SDK's ``Processor`` for a request of :func:`gandt.processing.submit.build_request`.

    Run it with the request's arguments::

        request = build_request("embed-1", task, image=..., role=...)
        sdk.processor(request).run(arguments=sdk.arguments(request), wait=False)

    Parameters
    ----------
    request : mapping
    session : sagemaker Session, optional

    Returns
    -------
    sagemaker.core.processing.Processor

    Raises
    ------
    MissingExtraError
        When the SDK isn't installed.
    """
    with extra("sagemaker", "gandt.processing.sdk"):
        from sagemaker.core.network import NetworkConfig
        from sagemaker.core.processing import Processor
    cluster = request["ProcessingResources"]["ClusterConfig"]
    preferences = cluster.get("InstancePreferences")
    kind = (
        {"instance_preferences": preferences}
        if preferences
        else {"instance_type": cluster["InstanceType"], "instance_count": cluster["InstanceCount"]}
    )
    vpc = request.get("NetworkConfig", {}).get("VpcConfig")
    network = NetworkConfig(subnets=vpc["Subnets"], security_group_ids=vpc["SecurityGroupIds"]) if vpc else None
    return Processor(
        **kind,
        role=request["RoleArn"],
        image_uri=request["AppSpecification"]["ImageUri"],
        entrypoint=request["AppSpecification"]["ContainerEntrypoint"],
        volume_size_in_gb=cluster["VolumeSizeInGB"],
        volume_kms_key=cluster.get("VolumeKmsKeyId"),
        max_runtime_in_seconds=request["StoppingCondition"]["MaxRuntimeInSeconds"],
        env=dict(request.get("Environment", {})),
        base_job_name=request["ProcessingJobName"],
        network_config=network,
        sagemaker_session=session,
    )


def arguments(request: Mapping[str, Any]) -> list[str]:
    """Return the container's arguments, for ``Processor.run``."""
    return list(request["AppSpecification"]["ContainerArguments"])
