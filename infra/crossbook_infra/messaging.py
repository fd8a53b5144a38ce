"""The links that lose nothing: an orders queue a partition, and the executions stream."""

import aws_cdk as cdk
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack, accept
from exchange_core.topology import QueueSpec


class MessagingStack(ExchangeStack):
    """SQS FIFO with high throughput and dead-letter queues; Kinesis with a shard a partition."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, key: kms.IKey) -> None:
        super().__init__(scope, settings, "messaging", "Crossbook: orders queues and executions stream")
        self.queues = [self._queue(partition, spec, key) for partition, spec in enumerate(self.topology.queues)]
        stream = self.topology.executions
        self.stream = kinesis.Stream(
            self,
            "Executions",
            stream_name=stream.name,
            stream_mode=kinesis.StreamMode.PROVISIONED,
            shard_count=stream.shards,
            retention_period=cdk.Duration.hours(stream.retention_hours),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=key,
            removal_policy=self.removal_policy,
        )
        accept(self.stream, "KDS3", "A key of our own, whose use we can see and revoke, is worth its calls")

    def _queue(self, partition: int, spec: QueueSpec, key: kms.IKey) -> sqs.Queue:
        dead = sqs.Queue(
            self,
            f"DeadOrders{partition}",
            queue_name=spec.dead_letter_name,
            fifo=True,
            retention_period=cdk.Duration.seconds(spec.dead_letter_retention_s),
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            removal_policy=self.removal_policy,
        )
        attributes = spec.attributes()
        assert attributes["FifoThroughputLimit"] == "perMessageGroupId"
        assert attributes["DeduplicationScope"] == "messageGroup"
        return sqs.Queue(
            self,
            f"Orders{partition}",
            queue_name=spec.name,
            fifo=True,
            content_based_deduplication=attributes["ContentBasedDeduplication"] == "true",
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
            retention_period=cdk.Duration.seconds(spec.retention_s),
            visibility_timeout=cdk.Duration.seconds(spec.visibility_s),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=spec.max_receives),
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            removal_policy=self.removal_policy,
        )
