//! The list as it stands in the template, in CloudFormation's YAML.

use super::metrics::{Metric, Namespace, Value};
use super::{ALARMS, Alarm, Line, PANELS, Panel, Signal, Threshold};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// Where the runbooks are read.
pub const RUNBOOKS: &str = "https://github.com/slowlane/slowlane/blob/main/docs/runbooks";

/// The resources of all alarms.
pub fn alarms() -> String {
    ALARMS.iter().map(alarm).collect()
}

fn alarm(alarm: &Alarm) -> String {
    let Alarm { name, tells, signal, period_secs, periods, at_least } = alarm;
    let mut text = format!(
        "  {name}:\n    Type: AWS::CloudWatch::Alarm\n    Condition: Watched\n    Properties:\n      \
         AlarmName: !Sub \"${{AWS::StackName}}-{name}\"\n      \
         AlarmDescription: \"{tells}. {RUNBOOKS}/{name}.md\"\n"
    );
    match signal {
        Signal::Metric(metric) => {
            text += &format!(
                "      Namespace: {}\n      MetricName: {}\n      Dimensions: {}\n      \
                 Statistic: {}\n      Period: {period_secs}\n",
                namespace(metric.namespace),
                metric.name,
                dimensions(metric),
                metric.statistic
            );
        }
        Signal::Expression { of, expression } => {
            text +=
                &format!("      Metrics:\n        - {{ Id: is, Expression: \"{expression}\" }}\n");
            for (id, metric) in *of {
                text += &format!(
                    "        - Id: {id}\n          ReturnData: false\n          MetricStat:\n            \
                     Metric: {{ Namespace: {}, MetricName: {}, Dimensions: {} }}\n            \
                     Period: {period_secs}\n            Stat: {}\n",
                    namespace(metric.namespace),
                    metric.name,
                    dimensions(metric),
                    metric.statistic
                );
            }
        }
    }
    text + &format!(
        "      EvaluationPeriods: {periods}\n      Threshold: {}\n      \
         ComparisonOperator: GreaterThanOrEqualToThreshold\n      TreatMissingData: notBreaching\n      \
         AlarmActions: !If [Notified, [!Ref AlarmTopicArn], !Ref AWS::NoValue]\n      \
         OKActions: !If [Notified, [!Ref AlarmTopicArn], !Ref AWS::NoValue]\n\n",
        threshold(*at_least)
    )
}

fn threshold(threshold: Threshold) -> String {
    match threshold {
        Threshold::Number(number) => number.to_string(),
        Threshold::Parameter(name) => format!("!Ref {name}"),
        Threshold::ByApiTimeout(name) => {
            format!("!FindInMap [ByApiTimeout, !Ref ApiTimeoutSeconds, {name}]")
        }
    }
}

fn namespace(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Slowlane => "!Sub \"Slowlane/${AWS::StackName}\"",
        Namespace::Aws(name) => name,
    }
}

fn dimensions(metric: &Metric) -> String {
    let each: Vec<_> = metric
        .dimensions
        .iter()
        .map(|(name, value)| format!("{{ Name: {name}, Value: {} }}", intrinsic(value)))
        .collect();
    format!("[{}]", each.join(", "))
}

fn intrinsic(value: &Value) -> String {
    match value {
        Value::Text(text) => (*text).to_owned(),
        Value::Ref(name) => format!("!Ref {name}"),
        Value::Attribute(resource, name) => format!("!GetAtt {resource}.{name}"),
        Value::ByDispatch(doorbell, deferral) => {
            format!("!If [Doorbell, {}, {}]", intrinsic(doorbell), intrinsic(deferral))
        }
    }
}

/// The resource of the dashboard.
pub fn dashboard() -> String {
    let mut variables = Vec::new();
    let mut widgets = vec![alarm_widget().to_string()];
    for (number, panel) in PANELS.iter().enumerate() {
        widgets.push(widget(number, panel, &mut variables));
    }
    let mut text = String::from(
        "  Overview:\n    Type: AWS::CloudWatch::Dashboard\n    Condition: Drawn\n    Properties:\n      \
         DashboardName: !Sub \"${AWS::StackName}-${AWS::Region}\"\n      DashboardBody: !Sub\n        \
         - >-\n          {\"widgets\":[\n",
    );
    let widgets: Vec<_> = widgets.iter().map(|widget| format!("          {widget}")).collect();
    text += &widgets.join(",\n");
    text += "\n          ]}\n        -";
    for (name, value) in variables {
        let _ = write!(text, " {name}: {value}\n         ");
    }
    format!("{}\n\n", text.trim_end())
}

const ALARM_ROWS: usize = 3;
const ROWS: usize = 6;
const COLUMNS: usize = 8;
/// The width of a dashboard.
const ALL_COLUMNS: usize = 24;

/// Shows the states of all alarms.
fn alarm_widget() -> Json {
    let arn = |alarm: &Alarm| {
        "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-"
            .to_owned()
            + alarm.name
    };
    json!({
        "type": "alarm", "x": 0, "y": 0, "width": ALL_COLUMNS, "height": ALARM_ROWS,
        "properties": { "title": "Alarms", "alarms": ALARMS.iter().map(arn).collect::<Vec<_>>() },
    })
}

fn widget(number: usize, panel: &Panel, variables: &mut Vec<(String, String)>) -> String {
    let lines: Vec<_> =
        panel.lines.iter().map(|(label, line)| entry(label, line, variables)).collect();
    let per_row = ALL_COLUMNS / COLUMNS;
    let mut properties = json!({
        "title": panel.title, "region": "${AWS::Region}", "period": 300, "view": "timeSeries",
        "metrics": lines, "yAxis": { "left": { "min": 0 } },
    });
    if let Some((label, parameter)) = panel.level {
        let value = format!("${{{parameter}}}");
        properties["annotations"] = json!({ "horizontal": [{ "label": label, "value": value }] });
    }
    let widget = json!({
        "type": "metric", "properties": properties,
        "x": number % per_row * COLUMNS, "y": ALARM_ROWS + number / per_row * ROWS,
        "width": COLUMNS, "height": ROWS,
    });
    // A level is a number, and CloudFormation puts it where a text stands here.
    let (_, parameter) = panel.level.unzip();
    let level = format!("${{{}}}", parameter.unwrap_or_default());
    widget.to_string().replace(&format!("\"{level}\""), &level)
}

/// A line as a dashboard has it: namespace, name and dimensions in a row, and how it is drawn.
fn entry(label: &str, line: &Line, variables: &mut Vec<(String, String)>) -> Json {
    let Line::Metric(metric) = line else {
        let search = "SEARCH('{\"Slowlane/${AWS::StackName}\",Priority,Outcome} \
                      MetricName=\"Calls\"', 'Sum', 300)";
        // CloudWatch labels each line by what differs: priority and outcome.
        return json!([{ "expression": search }]);
    };
    let namespace = match metric.namespace {
        Namespace::Slowlane => "Slowlane/${AWS::StackName}",
        Namespace::Aws(name) => name,
    };
    let mut entry = vec![json!(namespace), json!(metric.name)];
    for (name, value) in metric.dimensions {
        entry.push(json!(name));
        entry.push(json!(substitution(value, variables)));
    }
    entry.push(json!({ "label": label, "stat": metric.statistic }));
    json!(entry)
}

/// The value as `Fn::Sub` has it. What it cannot say becomes a variable.
fn substitution(value: &Value, variables: &mut Vec<(String, String)>) -> String {
    match value {
        Value::Text(text) => (*text).to_owned(),
        Value::Ref(name) => format!("${{{name}}}"),
        Value::Attribute(resource, name) => format!("${{{resource}.{name}}}"),
        Value::ByDispatch(doorbell, _) => {
            let name = match doorbell {
                Value::Ref(name) | Value::Attribute(name, _) | Value::Text(name) => name,
                Value::ByDispatch(..) => "Either",
            };
            let name = format!("{name}Or");
            if !variables.iter().any(|(known, _)| *known == name) {
                variables.push((name.clone(), intrinsic(value)));
            }
            format!("${{{name}}}")
        }
    }
}
