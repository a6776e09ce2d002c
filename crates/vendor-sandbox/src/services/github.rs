//! GitHub's issues with their comments, labels, and files of a repository.

use http::Method;
use serde_json::{Value, json};

use crate::{
    asked::Asked,
    records::{Records, merge},
    service::{At, Said, Service},
};

#[derive(Debug)]
pub(super) struct GitHub;

impl Service for GitHub {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["repos"]).unwrap_or_default();
        let [owner, repository, rest @ ..] = path.as_slice() else { return not_found() };
        let call = Call { asked, repository: format!("{owner}/{repository}"), at };
        match (&asked.method, rest) {
            (&Method::POST, ["issues"]) => call.open_issue(records),
            (&Method::POST, ["labels"]) => call.label(records),
            (&Method::POST, ["issues", number, "comments"]) => call.comment(number, records),
            (&Method::GET, ["issues", number, "comments"]) => {
                call.list(&call.kind_of_comments(number), records)
            }
            (&Method::PUT, ["contents", path @ ..]) => call.put_file(&path.join("/"), records),
            (&Method::GET, ["contents", path @ ..]) => {
                call.get("contents", &path.join("/"), records)
            }
            (&Method::GET, [kind]) => call.list(&call.kind(kind), records),
            (&Method::GET, [kind, name]) => call.get(kind, name, records),
            (&Method::PATCH, [kind, name]) => call.change(kind, name, records),
            (&Method::DELETE, ["labels", name]) => {
                match records.remove(&call.kind("labels"), name) {
                    Some(_) => Said::empty(204),
                    None => not_found(),
                }
            }
            _ => not_found(),
        }
    }
}

/// A call of one repository.
struct Call<'a> {
    asked: &'a Asked,
    repository: String,
    at: &'a At,
}

impl Call<'_> {
    /// The records of this repository.
    fn kind(&self, kind: &str) -> String {
        format!("{}/{kind}", self.repository)
    }

    fn kind_of_comments(&self, issue: &str) -> String {
        self.kind(&format!("issues/{issue}/comments"))
    }

    fn open_issue(&self, records: &mut Records) -> Said {
        if self.asked.text("/title").is_none_or(str::is_empty) {
            return invalid("Issue", "missing_field", "title");
        }
        let kind = self.kind("issues");
        let number = records.all(&kind).count() + 1;
        let issue = json!({
            "id": records.number(),
            "number": number,
            "state": "open",
            "created_at": self.at.rfc3339(),
            "updated_at": self.at.rfc3339(),
            "html_url": format!("{}/{}/issues/{number}", self.at.base_url, self.repository),
        });
        self.keep(&kind, &number.to_string(), issue, "issue", records)
    }

    /// A label's name is unique.
    fn label(&self, records: &mut Records) -> Said {
        let Some(name) = self.asked.text("/name").filter(|name| !name.is_empty()) else {
            return invalid("Label", "missing_field", "name");
        };
        let kind = self.kind("labels");
        if records.get(&kind, name).is_some() {
            return invalid("Label", "already_exists", "name");
        }
        let label = json!({ "id": records.number(), "color": "ededed", "default": false });
        self.keep(&kind, name, label, "label", records)
    }

    fn comment(&self, issue: &str, records: &mut Records) -> Said {
        if records.get(&self.kind("issues"), issue).is_none() {
            return not_found();
        }
        let id = records.number();
        let comment = json!({ "id": id, "created_at": self.at.rfc3339() });
        self.keep(&self.kind_of_comments(issue), &id.to_string(), comment, "comment", records)
    }

    /// Keeps a new record with the call's own fields.
    fn keep(
        &self,
        kind: &str,
        name: &str,
        mut record: Value,
        record_type: &str,
        records: &mut Records,
    ) -> Said {
        merge(&mut record, &self.asked.body);
        records.put(kind, name, record.clone());
        Said::new(201, &record).created(record_type)
    }

    /// Writes a file. Who changes one must say which version is meant.
    fn put_file(&self, path: &str, records: &mut Records) -> Said {
        let Some(content) = self.asked.text("/content") else {
            return invalid("Commit", "missing_field", "content");
        };
        let kind = self.kind("contents");
        let before = records.get(&kind, path).map(|file| file["sha"].clone());
        match before {
            Some(_) if self.asked.body["sha"].is_null() => {
                let message = "Invalid request.\n\n\"sha\" wasn't supplied.";
                return Said::new(422, &json!({ "message": message }));
            }
            Some(before) if self.asked.body["sha"] != before => {
                let message = format!("{path} does not match {}", self.asked.body["sha"]);
                return Said::new(409, &json!({ "message": message }));
            }
            _ => {}
        }
        let sha = format!("{:040x}", records.number());
        let file = json!({ "path": path, "sha": sha, "content": content, "encoding": "base64" });
        let is_new = records.put(&kind, path, file.clone());
        let answer = json!({ "content": file, "commit": { "sha": sha } });
        match is_new {
            true => Said::new(201, &answer).created("file"),
            false => Said::new(200, &answer),
        }
    }

    fn list(&self, kind: &str, records: &Records) -> Said {
        let all: Vec<&Value> = records.all(kind).map(|(_, record)| record).collect();
        Said::new(200, &json!(all))
    }

    fn get(&self, kind: &str, name: &str, records: &Records) -> Said {
        match records.get(&self.kind(kind), name) {
            Some(record) => Said::new(200, record),
            None => not_found(),
        }
    }

    fn change(&self, kind: &str, name: &str, records: &mut Records) -> Said {
        let Some(record) = records.get_mut(&self.kind(kind), name) else { return not_found() };
        merge(record, &self.asked.body);
        record["updated_at"] = self.at.rfc3339().into();
        Said::new(200, record)
    }
}

fn not_found() -> Said {
    let error =
        json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest" });
    Said::new(404, &error)
}

fn invalid(resource: &str, code: &str, field: &str) -> Said {
    let error = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": resource, "code": code, "field": field }],
        "documentation_url": "https://docs.github.com/rest",
    });
    Said::new(422, &error)
}
