"""What the two dashboards show: an operator's questions, each a panel, in rows that belong together."""

from typing import Final

from tools.manifests.dashboards import RATE, Panel, mean, per_second, quantile

FIRST_WORDS: Final = "multimood_gateway_first_token_duration_milliseconds"
WHOLE_REPLY: Final = "multimood_gateway_reply_duration_milliseconds"
FIRST_PIECE: Final = "multimood_first_token_duration_milliseconds"
LETTERS: Final = 'increase(kafka_topic_partition_current_offset{topic=~"multimood[.].*[.]dlq"}[1h])'
READY: Final = 'kube_deployment_status_replicas_ready{deployment=~"multimood-.*"}'
WAITED: Final = f"sum by (model) (rate(nv_inference_queue_duration_us{RATE}))"

CONVERSATIONS: Final = (
    (
        Panel(
            "Utterances",
            (per_second("multimood_gateway_accepted_total", "duplicate"),),
            "reqps",
            "Accepted by the gateway; a duplicate was sent again by its platform.",
        ),
        Panel("Refused", (per_second("multimood_gateway_refused_total", "reason"),), "reqps"),
        Panel(
            "As the caller sees it",
            tuple(quantile(share, metric) for metric in (FIRST_WORDS, WHOLE_REPLY) for share in (0.5, 0.99)),
            "ms",
            "First words, then the whole reply.",
        ),
    ),
    (
        Panel(
            "Replies",
            (per_second("multimood_replies_total", "source", "reason"),),
            "ops",
            "Vetted ones with the reason why the language model's was not taken.",
            stacked=True,
        ),
        Panel("Strategies", (per_second("multimood_decisions_total", "strategy"),), "ops", stacked=True),
        Panel(
            "Overrides",
            (per_second("multimood_decisions_total", "override"),),
            "ops",
            "Decisions that are not the policy's own: a crisis, no verdict, a conversation that is held.",
        ),
    ),
    (
        Panel("Crises and screenings", (per_second("multimood_screenings_total", "level"),), "ops"),
        Panel("Escalations that nobody has acknowledged", (("sum(multimood_escalations_open)", "open"),)),
        Panel("Age of the oldest", (("max(multimood_escalations_oldest_seconds)", "oldest"),), "s"),
        Panel("Notices", (per_second("multimood_escalation_notices_total", "level", "role"),), "ops"),
    ),
    (
        Panel(
            "From words to escalation",
            tuple(quantile(share, "multimood_escalation_duration_milliseconds") for share in (0.5, 0.99)),
            "ms",
            "The budget is 100 ms at p99.",
        ),
        Panel("Trust", (mean("multimood_trust_score", "criterion"),), "none", "Mean scores by criterion, 1 to 10."),
        Panel("Reward", (mean("multimood_reward", "gate"),), "none", "Means, 0 to 1; failed: by the crisis gate."),
    ),
    (
        Panel(
            "Modalities",
            (per_second("multimood_joined_modalities_total", "modality", "presence"),),
            "ops",
            "What was announced, and why it was missing.",
            stacked=True,
        ),
        Panel(
            "Guarded",
            (per_second("multimood_reply_attempts_total", "outcome"),),
            "ops",
            "Attempts at replies, by what became of them.",
        ),
        Panel(
            "Judges that could not score",
            (per_second("multimood_reward_judge_failures_total", "judge", "reason"),),
            "ops",
        ),
    ),
    (
        Panel(
            "Policy versions",
            (per_second("multimood_decisions_total", "policy"),),
            "ops",
            "Decisions by the version of the policy model that was served; none: fusion's own, or a vetted reply.",
            stacked=True,
        ),
        Panel(
            "Answers by version",
            (per_second("multimood_rollout_answers_total", "model", "version", "outcome"),),
            "ops",
            "Questions to policy and reply model. What is not answered falls to the champion, then to the fusion "
            "model or a vetted reply.",
        ),
        Panel("Challenger's share", (("max by (model) (multimood_rollout_share)", "{{model}}"),), "percentunit"),
    ),
)
PIPELINE: Final = (
    (
        Panel(
            "Hops, p99",
            (quantile(0.99, "multimood_hop_duration_milliseconds", "service"),),
            "ms",
            "From a record received to its output handed over, models included.",
        ),
        Panel(
            "Own code, p99",
            (quantile(0.99, "multimood_hop_own_duration_milliseconds", "service"),),
            "ms",
            "The same without waiting for models.",
        ),
        Panel(
            "Lag",
            (
                (
                    'sum by (consumergroup) (kafka_consumergroup_lag{consumergroup=~"multimood[.].*"})',
                    "{{consumergroup}}",
                ),
            ),
            "short",
            "Records that a group has still to acknowledge. The joiner's wait for others, up to its deadline.",
        ),
    ),
    (
        Panel("Events", (per_second("multimood_events_total", "service", "outcome"),), "ops", stacked=True),
        Panel(
            "Joins",
            (per_second("multimood_joins_total", "service", "outcome"),),
            "ops",
            "Expired: the deadline passed before everything was there.",
            stacked=True,
        ),
        Panel("Dead letters in an hour", ((f"sum by (topic) ({LETTERS})", "{{topic}}"),)),
    ),
    (
        Panel("Inference, p99", (quantile(0.99, "multimood_inference_duration_milliseconds", "model"),), "ms"),
        Panel(
            "Inference that did not answer",
            (
                per_second(
                    "multimood_inference_duration_milliseconds_count", "model", "outcome", where='{outcome!="ok"}'
                ),
            ),
            "ops",
        ),
        Panel(
            "Waiting in Triton",
            ((f"{WAITED} / sum by (model) (rate(nv_inference_request_success{RATE}))", "{{model}}"),),
            "µs",
        ),
        Panel("GPU", (("avg by (gpu_uuid) (nv_gpu_utilization)", "{{gpu_uuid}}"),), "percentunit"),
    ),
    (
        Panel("Store, p99", (quantile(0.99, "multimood_store_duration_milliseconds", "operation"),), "ms"),
        Panel("Store: failures", (per_second("multimood_store_failures_total", "operation", "reason"),), "ops"),
        Panel(
            "Experience log",
            (
                per_second("multimood_experience_rows_total", "table"),
                per_second("multimood_experience_faults_total", "table", "reason"),
            ),
            "ops",
            "Rows made durable, and writes that had to be tried again.",
        ),
    ),
    (
        Panel("Language model: first token", tuple(quantile(share, FIRST_PIECE) for share in (0.5, 0.99)), "ms"),
        Panel(
            "Tokens",
            (per_second("multimood_tokens_total", "kind"), per_second("multimood_judge_tokens_total", "kind")),
            "ops",
        ),
        Panel("Pods ready", ((f"sum by (deployment) ({READY})", "{{deployment}}"),)),
    ),
)
