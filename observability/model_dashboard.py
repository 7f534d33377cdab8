"""The dashboard of the model: what it predicts, how good that is, and what it is asked about."""

from __future__ import annotations

from observability.panels import Panel, Part

VARIABLES = [("feature", "accidents_monitor_missing_share")]
_FEATURE = 'feature=~"$feature"'


def _over_time(metric: str, title: str, about: str = "") -> Panel:
    """Return a metric with its 95 % interval, and what training promised."""
    measured = f'accidents_monitor_performance{{metric="{metric}"'
    ends = [(f'{measured},end="{end}"}}', legend)
            for end, legend in (("value", "now"), ("low", "95 % low"), ("high", "95 % high"))]  # fmt: skip
    promised = (f'accidents_monitor_expected_performance{{metric="{metric}"}}', "expected")
    return Panel(title, "short", [*ends, promised], about=about)


PARTS = [
    Part("Who predicts", [
        Panel("Champion", "short", [("accidents_champion_info", "version {{version}}")], "number"),
        Panel("Champion since", "dateTimeFromNow",
              [("1000 * accidents_champion_promoted_timestamp_seconds", "")],
              "number"),
        Panel("Has learnt until", "dateTimeAsIso",
              [("1000 * accidents_champion_learnt_until_timestamp_seconds", "")], "number"),
        Panel("Accidents in the window", "short", [("accidents_monitor_rows", "")], "number"),
        Panel("... of which labelled", "short", [("accidents_monitor_labelled_rows", "")], "number"),
        Panel("Features that have drifted", "short", [("accidents_monitor_drifted_features", "")], "number"),
    ]),
    Part("What it predicts", [
        Panel("Predictions by band", "short",
              [("sum by(band) (increase(accidents_predictions_total[$__rate_interval]))", "{{band}}")]),
        Panel("By version", "short",
              [("sum by(version) (increase(accidents_predictions_total[$__rate_interval]))",
                "version {{version}}")]),
        Panel("Mean P(severe)", "percentunit",
              [("sum(rate(accidents_probability_sum[$__rate_interval])) "
                "/ sum(rate(accidents_probability_count[$__rate_interval]))", "served now"),
               ('accidents_monitor_mean_probability{of="window"}', "window of the monitor"),
               ('accidents_monitor_mean_probability{of="reference"}', "reference")]),
        Panel("Share with an alert", "percentunit",
              [('(sum(rate(accidents_predictions_total{alert="yes"}[$__rate_interval])) or vector(0)) '
                "/ sum(rate(accidents_predictions_total[$__rate_interval]))", "alert")],
              about="Should be about `evaluation.budget` of params.yaml."),
        Panel("By département, the first 15", "short",
              [("topk(15, sum by(department) (increase(accidents_department_predictions_total[$__range])))",
                "{{department}}")], "bars"),
        Panel("Outcomes received", "short",
              [("sum by(status) (accidents_labels_total)", "{{status}}")], "bars"),
    ]),
    Part("How good it is, on labelled accidents", [
        _over_time("roc_auc", "ROC-AUC"),
        _over_time("pr_auc", "PR-AUC", "Moves with the share of severe accidents, whatever the model does."),
        _over_time("recall_at_budget", "Severe ones among those that can be prioritised"),
        _over_time("brier", "Brier score", "The lower the better."),
        _over_time("calibration_gap", "Observed less predicted",
                   "0: as many severe accidents as the probabilities say."),
        _over_time("ece", "Calibration error"),
        Panel("Callers' outcomes that are not the published ones", "percentunit",
              [("accidents_monitor_labels_disagreeing", "{{caller}}")], "bars",
              about="Of accidents of the published year that the monitor looked at last."),
    ]),
    Part("Drift", [
        Panel("Drifted", "short",
              [(f"accidents_monitor_feature_drifted{{{_FEATURE}}}", "{{feature}}")], "states"),
        Panel("Share of features that have drifted", "percentunit",
              [("accidents_monitor_drifted_share", "share")]),
        Panel("Statistic of the drift test", "short",
              [(f"accidents_monitor_feature_statistic{{{_FEATURE}}}", "{{feature}}, {{method}}"),
               (f"accidents_monitor_feature_threshold{{{_FEATURE}}}", "threshold of {{feature}}")]),
        Panel("Not stated, more than in the reference", "percentunit",
              [(f'accidents_monitor_missing_share{{{_FEATURE},of="window"}} '
                f'- ignoring(of) accidents_monitor_missing_share{{{_FEATURE},of="reference"}}',
                "{{feature}}")]),
        Panel("Not stated", "percentunit",
              [(f'accidents_monitor_missing_share{{{_FEATURE},of="window"}}', "{{feature}}")]),
    ]),
]  # fmt: skip
