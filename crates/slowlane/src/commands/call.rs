mod shown;

use crate::exit::Ended;
use crate::file::File;
use crate::output::{print, print_json};
use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::Value;
use shown::Shown;
use slowlane_config::{Deployment, WorkerKind};
use slowlane_profile::chat::{Chat, ChatError};
use slowlane_profile::{Api, Content, Method};
use std::path::PathBuf;

/// Show the request that a call would send, without its secrets
///
/// It is made from slowlane.toml as the worker makes it: address, headers, body, idempotency key,
/// and the calls before it. Shown too is what would be done if its answer were lost. Nothing is
/// sent, so --dry-run must be given: calls are made by workflows, through their queue.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane call crm --method GET --path services/data/v62.0/limits --dry-run
  slowlane call shop --method POST --path orders --body '{\"sku\": \"A1\"}' --key order-123 --dry-run
  slowlane call shop --method POST --path orders --body @order.json --dry-run --json")]
pub(crate) struct Call {
    /// A target of slowlane.toml
    target: String,
    /// GET, HEAD, POST, PUT, PATCH or DELETE
    #[arg(long, value_parser = word::<Method>)]
    method: Method,
    /// The path below the target's base URL, and its query
    #[arg(long)]
    path: String,
    /// The body, as JSON; or @FILE, a file that holds it
    #[arg(long, value_name = "JSON|@FILE")]
    body: Option<String>,
    /// How the body is written: json, form, graphql or text; the profile's usual way if left out
    ///
    /// `chat` is a question to a model in the common form, with --method POST --path chat.
    #[arg(long, value_parser = content)]
    content: Option<Form>,
    /// A header of the call's own, as often as needed; the profile says which it may have
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// The call's idempotency key
    #[arg(long)]
    key: Option<String>,
    /// Show it, and send nothing
    #[arg(long, required = true)]
    dry_run: bool,
    /// The stage, if slowlane.toml has several
    #[arg(long)]
    stage: Option<String>,
    /// Where slowlane.toml is
    #[arg(long, value_name = "FILE", default_value = "slowlane.toml")]
    config: PathBuf,
    /// Print JSON: {target, reads, auth: {way, secret, fields}, before, request, after_loss}
    ///
    /// `before` is a list of requests, each {method, url, headers, body}; `after_loss` says in words
    /// what would be done if the answer were lost.
    #[arg(long)]
    json: bool,
}

impl Call {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let file = File::read(&self.config)?;
        let deployment = self.deployment(&file)?;
        let api = api(&file, &deployment)?;
        let given = self.body.as_deref().map(body).transpose()?;
        let mut call = match self.content {
            Some(Form::Chat) => self.chat(&file, &deployment, &api, given.as_ref())?,
            Some(Form::Own(_)) | None => {
                let mut call = slowlane_profile::Call::new(self.method, self.path.as_str());
                call.body = given;
                call
            }
        };
        if let Some(Form::Own(content)) = self.content {
            call.content = Some(content);
        }
        call.headers = self.headers.iter().cloned().collect();
        call.idempotency_key = self.key.clone();
        let shown = Shown::new(&deployment, &api, &call)
            .with_context(|| format!("{} cannot make this call", deployment.target))?;
        if self.json {
            print_json(&shown.as_json());
        } else {
            print(shown);
        }
        Ok(())
    }

    /// A question in the common form, as the target's provider is asked it.
    fn chat(
        &self,
        file: &File,
        deployment: &Deployment,
        api: &Api,
        body: Option<&Value>,
    ) -> anyhow::Result<slowlane_profile::Call> {
        if self.method != Method::Post || self.path != "chat" {
            return Err(ChatError::NotChat.into());
        }
        let chat = Chat::read(body, &file.prompts(deployment)?);
        Ok(chat.and_then(|chat| api.profile().chat_call(&chat))?)
    }

    /// The target as it is in its stage.
    fn deployment(&self, file: &File) -> anyhow::Result<Deployment> {
        let stage = file.stage(self.stage.as_deref())?;
        let mut deployments = file.deployments(&stage)?.into_iter();
        let found = deployments.find(|deployment| deployment.target == self.target);
        Ok(found.ok_or_else(|| Ended::Usage(file.no_target(&self.target)))?)
    }
}

/// How a body is written.
#[derive(Clone, Copy)]
enum Form {
    /// In a way of the API's own.
    Own(Content),
    /// A question to a model in the common form.
    Chat,
}

fn content(text: &str) -> Result<Form, ValueError> {
    match text {
        "chat" => Ok(Form::Chat),
        own => word(own).map(Form::Own),
    }
}

/// The API of a target that a profile describes.
fn api(file: &File, deployment: &Deployment) -> anyhow::Result<Api> {
    let target = &deployment.target;
    let profile = match &deployment.worker {
        WorkerKind::Profile(name) => file.profile(name)?,
        WorkerKind::NetSuite => anyhow::bail!(
            "target {target}: NetSuite's requests are made by code, not by a profile, and cannot be \
             shown"
        ),
        WorkerKind::Binary(path) => {
            anyhow::bail!("target {target}: its requests are made by {path}, and cannot be shown")
        }
    };
    let base = deployment.base_url.clone();
    Ok(Api::new(profile, base.with_context(|| format!("target {target} has no base_url"))?))
}

fn body(text: &str) -> anyhow::Result<Value> {
    let Some(path) = text.strip_prefix('@') else {
        return serde_json::from_str(text)
            .context("--body is no JSON; write a text in quotation marks within the shell's own");
    };
    let read = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    serde_json::from_str(&read).with_context(|| format!("{path} is no JSON"))
}

/// A word as it is written in files.
fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ValueError> {
    let word: StrDeserializer<'_, ValueError> = text.into_deserializer();
    T::deserialize(word)
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
