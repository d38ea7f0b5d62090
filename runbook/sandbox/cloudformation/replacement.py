"""Which properties cannot be changed in place.

From the AWS resource and property types reference, where each property says "Update requires: Replacement",
"No interruption" or "Some interruptions". The types of bucketAV's stack, and those that such a template may have.
"""

from __future__ import annotations

ALWAYS: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName InstanceId",
        "AWS::AutoScaling::LaunchConfiguration": "LaunchConfigurationName ImageId InstanceType UserData SecurityGroups",
        "AWS::AutoScaling::LifecycleHook": "AutoScalingGroupName LifecycleHookName",
        "AWS::AutoScaling::ScalingPolicy": "AutoScalingGroupName",
        "AWS::AutoScaling::ScheduledAction": "AutoScalingGroupName",
        "AWS::CloudFormation::CustomResource": "",
        "AWS::CloudWatch::Alarm": "AlarmName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::DynamoDB::Table": "TableName KeySchema LocalSecondaryIndexes ImportSourceSpecification",
        "AWS::EC2::FlowLog": (
            "DeliverLogsPermissionArn LogDestination LogDestinationType LogFormat LogGroupName ResourceId ResourceType "
            "TrafficType"
        ),
        "AWS::EC2::LaunchTemplate": "LaunchTemplateName TagSpecifications",
        "AWS::EC2::NatGateway": "AllocationId ConnectivityType SubnetId",
        "AWS::EC2::Route": "CarrierGatewayId DestinationCidrBlock DestinationIpv6CidrBlock RouteTableId",
        "AWS::EC2::RouteTable": "VpcId",
        "AWS::EC2::SecurityGroup": "GroupDescription GroupName VpcId",
        "AWS::EC2::SecurityGroupEgress": "CidrIp CidrIpv6 FromPort GroupId IpProtocol ToPort",
        "AWS::EC2::SecurityGroupIngress": "CidrIp CidrIpv6 FromPort GroupId GroupName IpProtocol ToPort",
        "AWS::EC2::Subnet": "AvailabilityZone CidrBlock OutpostArn VpcId",
        "AWS::EC2::SubnetRouteTableAssociation": "SubnetId",
        "AWS::EC2::VPC": "CidrBlock Ipv4IpamPoolId Ipv4NetmaskLength",
        "AWS::EC2::VPCEndpoint": "ServiceName VpcEndpointType VpcId",
        "AWS::EC2::VPCGatewayAttachment": "VpcId",
        "AWS::Events::Rule": "EventBusName Name",
        "AWS::IAM::Group": "GroupName",
        "AWS::IAM::InstanceProfile": "InstanceProfileName Path",
        "AWS::IAM::ManagedPolicy": "Description ManagedPolicyName Path",
        "AWS::IAM::Role": "Path RoleName",
        "AWS::IAM::User": "UserName",
        "AWS::KMS::Alias": "AliasName",
        "AWS::Lambda::EventInvokeConfig": "FunctionName Qualifier",
        "AWS::Lambda::EventSourceMapping": "EventSourceArn StartingPosition",
        "AWS::Lambda::Function": "FunctionName PackageType",
        "AWS::Lambda::Permission": (
            "Action EventSourceToken FunctionName FunctionUrlAuthType Principal PrincipalOrgID SourceAccount SourceArn"
        ),
        "AWS::Lambda::Version": "CodeSha256 Description FunctionName ProvisionedConcurrencyConfig",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::Logs::MetricFilter": "LogGroupName FilterName",
        "AWS::S3::Bucket": "BucketName",
        "AWS::S3::BucketPolicy": "Bucket",
        "AWS::SNS::Subscription": "Endpoint Protocol TopicArn",
        "AWS::SNS::Topic": "FifoTopic TopicName",
        "AWS::SNS::TopicPolicy": "",
        "AWS::SQS::Queue": "FifoQueue QueueName",
        "AWS::SQS::QueuePolicy": "",
        "AWS::SSM::Parameter": "Name",
        "AWS::IAM::Policy": "",
    }.items()
}

CONDITIONALLY: dict[str, frozenset[str]] = {
    "AWS::DynamoDB::Table": frozenset({"AttributeDefinitions"}),
    "AWS::EC2::VPC": frozenset({"InstanceTenancy"}),
}
"""AWS, "AWS::DynamoDB::Table", AttributeDefinitions: "Replacement if you edit an existing AttributeDefinition"."""


def requires_recreation(kind: str, name: str) -> str:
    """Always, Conditionally or Never, as a change set says it.

    For a type that the table does not have, a property that is its name (`FunctionName` of a `Function`, or `Name`)
    requires a new resource, as it does nearly everywhere in the reference. A custom resource is replaced only if who
    provides it answers with another physical id.
    """
    if kind in ALWAYS:
        if name in ALWAYS[kind]:
            return "Always"
        return "Conditionally" if name in CONDITIONALLY.get(kind, ()) else "Never"
    named = name in {"Name", f"{kind.rpartition('::')[2]}Name"}
    return "Always" if named and not kind.startswith("Custom::") else "Never"
