"""The local cloud: what AWS is to a Greengrass fleet, on one machine.

Unmodified clients (boto3, the AWS CLI, GDK) and unmodified nuclei work against it. `app` puts the
parts together; `ports` says what they ask of one another.
"""
