"""Something in every service that a fleet repository needs, and what that service shows of it.

`SERVICES` has two functions by service: one creates, the other returns what is found. Both take a
function that returns a boto3 client by its service's name.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

Client = Callable[[str], Any]

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "credentials.iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)


def _iot(client: Client) -> None:
    iot = client("iot")
    thing = iot.create_thing(thingName="press-07", attributePayload={"attributes": {"line": "1"}})
    parent = iot.create_thing_group(thingGroupName="plant")
    group = iot.create_thing_group(thingGroupName="stamping_line", parentGroupName="plant")
    iot.add_thing_to_thing_group(thingName="press-07", thingGroupName="stamping_line")
    iot.create_policy(policyName="device", policyDocument=POLICY)
    iot.attach_policy(policyName="device", target=group["thingGroupArn"])
    assert thing["thingId"] != group["thingGroupId"] != parent["thingGroupId"]


def _iot_found(client: Client) -> Any:
    iot = client("iot")
    return [
        iot.describe_thing(thingName="press-07"),
        iot.describe_thing_group(thingGroupName="plant"),
        iot.describe_thing_group(thingGroupName="stamping_line"),
        iot.list_things_in_thing_group(thingGroupName="stamping_line")["things"],
        iot.get_policy(policyName="device"),
        iot.list_targets_for_policy(policyName="device")["targets"],
    ]


def _certificate(client: Client) -> None:
    iot = client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName="press-08")
    iot.attach_thing_principal(thingName="press-08", principal=made["certificateArn"])


def _certificate_found(client: Client) -> Any:
    iot = client("iot")
    principals = iot.list_thing_principals(thingName="press-08")["principals"]
    return [
        principals,
        iot.describe_certificate(certificateId=principals[0].rpartition("/")[2])[
            "certificateDescription"
        ],
    ]


def _role(client: Client) -> None:
    iam = client("iam")
    role = iam.create_role(RoleName="tokens", AssumeRolePolicyDocument=TRUST)["Role"]
    iam.put_role_policy(RoleName="tokens", PolicyName="inline", PolicyDocument=POLICY)
    managed = iam.create_policy(PolicyName="managed", PolicyDocument=POLICY)["Policy"]
    iam.attach_role_policy(RoleName="tokens", PolicyArn=managed["Arn"])
    iam.create_user(UserName="jana")
    iam.create_access_key(UserName="jana")
    client("iot").create_role_alias(roleAlias="tokens-alias", roleArn=role["Arn"])


def _role_found(client: Client) -> Any:
    iam = client("iam")
    return [
        iam.get_role(RoleName="tokens")["Role"],
        iam.get_role_policy(RoleName="tokens", PolicyName="inline")["PolicyDocument"],
        iam.list_attached_role_policies(RoleName="tokens")["AttachedPolicies"],
        iam.list_access_keys(UserName="jana")["AccessKeyMetadata"],
        client("iot").describe_role_alias(roleAlias="tokens-alias")["roleAliasDescription"],
    ]


def _ec2(client: Client) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    ec2.create_security_group(GroupName="devices", Description="devices", VpcId=vpc)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2, SubnetId=subnet)
    ec2.allocate_address(Domain="vpc")
    ec2.create_key_pair(KeyName="operators")


def _ec2_found(client: Client) -> Any:
    ec2 = client("ec2")
    instances = [
        instance
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert len(instances) == 2
    return [
        [(i["InstanceId"], i["PrivateIpAddress"], i["LaunchTime"]) for i in instances],
        ec2.describe_vpcs()["Vpcs"],
        ec2.describe_subnets()["Subnets"],
        ec2.describe_security_groups()["SecurityGroups"],
        ec2.describe_addresses()["Addresses"],
        [(k["KeyName"], k["KeyPairId"]) for k in ec2.describe_key_pairs()["KeyPairs"]],
    ]


def _parameters(client: Client) -> None:
    ssm = client("ssm")
    ssm.put_parameter(Name="/verge/a", Value="1", Type="String")
    ssm.put_parameter(Name="/verge/a", Value="2", Type="String", Overwrite=True)
    ssm.put_parameter(Name="/verge/secret", Value="s", Type="SecureString")


def _parameters_found(client: Client) -> Any:
    ssm = client("ssm")
    return [
        ssm.get_parameters_by_path(Path="/verge", WithDecryption=True)["Parameters"],
    ]


def _secrets(client: Client) -> None:
    secrets = client("secretsmanager")
    secrets.create_secret(Name="registry", SecretString="one")
    secrets.put_secret_value(SecretId="registry", SecretString="two")


def _secrets_found(client: Client) -> Any:
    secrets = client("secretsmanager")
    value = secrets.get_secret_value(SecretId="registry")
    assert value["SecretString"] == "two"
    return [value, secrets.describe_secret(SecretId="registry")["VersionIdsToStages"]]


def _logs(client: Client) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName="/aws/greengrass/press-07")
    logs.create_log_stream(logGroupName="/aws/greengrass/press-07", logStreamName="main")
    logs.put_log_events(
        logGroupName="/aws/greengrass/press-07",
        logStreamName="main",
        logEvents=[
            {"timestamp": int(dt.datetime.now(dt.UTC).timestamp() * 1000), "message": "closed"}
        ],
    )


def _logs_found(client: Client) -> Any:
    logs = client("logs")
    events = logs.get_log_events(
        logGroupName="/aws/greengrass/press-07", logStreamName="main", startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == ["closed"]
    return [events, logs.describe_log_groups()["logGroups"]]


def _events(client: Client) -> None:
    events = client("events")
    events.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    events.put_targets(
        Rule="nightly", Targets=[{"Id": "1", "Arn": "arn:aws:lambda:x:1:function:f"}]
    )
    events.create_event_bus(Name="fleet")


def _events_found(client: Client) -> Any:
    events = client("events")
    return [
        events.list_rules()["Rules"],
        events.list_targets_by_rule(Rule="nightly")["Targets"],
        events.list_event_buses()["EventBuses"],
    ]


def _build(client: Client) -> None:
    role = "arn:aws:iam::123456789012:role/tokens"
    build = client("codebuild")
    build.create_project(
        name="components",
        source={"type": "S3", "location": "sources/main.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=role,
    )
    build.start_build(projectName="components")
    action = {
        "name": "source",
        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"S3Bucket": "sources", "S3ObjectKey": "main.zip"},
        "outputArtifacts": [{"name": "code"}],
    }
    compile_action = {
        "name": "build",
        "actionTypeId": {
            "category": "Build",
            "owner": "AWS",
            "provider": "CodeBuild",
            "version": "1",
        },
        "inputArtifacts": [{"name": "code"}],
    }
    client("iam").create_role(
        RoleName="pipelines",
        AssumeRolePolicyDocument=TRUST.replace("credentials.iot", "codepipeline"),
    )
    client("codepipeline").create_pipeline(
        pipeline={
            "name": "release",
            "roleArn": "arn:aws:iam::123456789012:role/pipelines",
            "artifactStore": {"type": "S3", "location": "sources"},
            "stages": [
                {"name": "Source", "actions": [action]},
                {"name": "Build", "actions": [compile_action]},
            ],
        }
    )


def _build_found(client: Client) -> Any:
    build, pipelines = client("codebuild"), client("codepipeline")
    ids = build.list_builds_for_project(projectName="components")["ids"]
    assert len(ids) == 1
    return [
        ids,
        build.batch_get_projects(names=["components"])["projects"],
        pipelines.get_pipeline(name="release")["pipeline"],
        pipelines.get_pipeline(name="release")["metadata"],
    ]


def _machine(client: Client) -> None:
    role = client("iam").create_role(
        RoleName="machines", AssumeRolePolicyDocument=TRUST.replace("credentials.iot", "states")
    )["Role"]["Arn"]
    definition = {"StartAt": "only", "States": {"only": {"Type": "Pass", "End": True}}}
    machines = client("stepfunctions")
    arn = machines.create_state_machine(
        name="labelling", definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]
    machines.start_execution(stateMachineArn=arn, input="{}")


def _machine_found(client: Client) -> Any:
    machines = client("stepfunctions")
    arn = machines.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    executions = machines.list_executions(stateMachineArn=arn)["executions"]
    assert len(executions) == 1
    return [
        machines.describe_state_machine(stateMachineArn=arn)["definition"],
        executions[0]["executionArn"],
    ]


def _bucket(client: Client) -> None:
    s3 = client("s3")
    s3.create_bucket(
        Bucket="fleet-artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    s3.put_bucket_tagging(
        Bucket="fleet-artifacts", Tagging={"TagSet": [{"Key": "site", "Value": "north"}]}
    )
    s3.put_public_access_block(
        Bucket="fleet-artifacts", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    s3.put_object(Bucket="fleet-artifacts", Key="a/1.zip", Body=b"bytes", Metadata={"built": "now"})


def _bucket_found(client: Client) -> Any:
    s3 = client("s3")
    stored = s3.get_object(Bucket="fleet-artifacts", Key="a/1.zip")
    return [
        s3.list_buckets()["Buckets"],
        s3.get_bucket_tagging(Bucket="fleet-artifacts")["TagSet"],
        s3.get_public_access_block(Bucket="fleet-artifacts")["PublicAccessBlockConfiguration"],
        (stored["Body"].read(), stored["Metadata"], stored["LastModified"], stored["ETag"]),
    ]


def _session(client: Client) -> None:
    client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/tokens", RoleSessionName="jana"
    )


def _session_found(client: Client) -> Any:
    identity = client("sts").get_caller_identity()
    identity.pop("ResponseMetadata")
    return identity


SERVICES = {
    "things, groups and policies": (_iot, _iot_found),
    "certificates": (_certificate, _certificate_found),
    "roles and role aliases": (_role, _role_found),
    "sessions": (_session, _session_found),
    "machines": (_ec2, _ec2_found),
    "parameters": (_parameters, _parameters_found),
    "secrets": (_secrets, _secrets_found),
    "logs": (_logs, _logs_found),
    "events": (_events, _events_found),
    "buckets and objects": (_bucket, _bucket_found),
    "pipelines and builds": (_build, _build_found),
    "state machines": (_machine, _machine_found),
}


def plain(found: Any) -> Any:
    """Return what is found without what differs from answer to answer."""
    if isinstance(found, dict):
        return {k: plain(v) for k, v in found.items() if k != "ResponseMetadata"}
    if isinstance(found, list | tuple):
        return [plain(each) for each in found]
    return found
