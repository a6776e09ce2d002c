//! The record types that the sandbox knows, and the shape of their bodies.
//!
//! A body is refused where NetSuite would refuse it: a required field that is missing, a value of
//! the wrong kind, a sublist without lines. The types are a part of NetSuite's, each with the
//! fields that integrations write most; custom fields (`cust…`) are taken as they come.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// A record type.
#[derive(Debug)]
pub(crate) struct RecordType {
    pub(crate) name: &'static str,
    /// What SuiteQL calls it: the table, and the value of its type column if several types share it.
    suiteql: (&'static str, Option<&'static str>),
    pub(crate) fields: &'static [Field],
    pub(crate) sublists: &'static [Sublist],
}

/// A field of a record or of a sublist's line.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Text,
    Number,
    /// A number above 0, such as an ordered quantity.
    Positive,
    Boolean,
    /// `YYYY-MM-DD`
    Date,
    /// RFC 3339; only standard fields are of this kind.
    Moment,
    /// `{"id": …}`, or an `{"externalId": …}` in its place.
    Reference,
    /// A subrecord; its inside is not checked.
    Object,
}

/// A list of lines inside a record: `{"items": [{…}, …]}`.
#[derive(Debug)]
pub(crate) struct Sublist {
    pub(crate) name: &'static str,
    /// The field by which an update finds a line again. A sublist without one cannot have its
    /// lines updated: lines are added, or all are replaced.
    pub(crate) key: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) fields: &'static [Field],
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

use Kind::{Boolean, Date, Number, Object, Positive, Reference, Text};

const ORDER_LINE: &[Field] = &[
    required("item", Reference),
    required("quantity", Positive),
    field("line", Number),
    field("rate", Number),
    field("amount", Number),
    field("description", Text),
    field("price", Reference),
    field("taxCode", Reference),
    field("location", Reference),
    field("department", Reference),
    field("class", Reference),
    field("units", Reference),
    field("isClosed", Boolean),
];

const ORDER_ITEMS: &[Sublist] =
    &[Sublist { name: "item", key: Some("line"), required: true, fields: ORDER_LINE }];

const TRANSACTION_FIELDS: &[Field] = &[
    required("entity", Reference),
    field("tranId", Text),
    field("tranDate", Date),
    field("memo", Text),
    field("otherRefNum", Text),
    field("email", Text),
    field("currency", Reference),
    field("exchangeRate", Number),
    field("subsidiary", Reference),
    field("location", Reference),
    field("department", Reference),
    field("class", Reference),
    field("terms", Reference),
    field("orderStatus", Reference),
    field("status", Reference),
    field("salesRep", Reference),
    field("shipDate", Date),
    field("dueDate", Date),
    field("shipMethod", Reference),
    field("shippingCost", Number),
    field("discountItem", Reference),
    field("discountRate", Text),
    field("billingAddress", Object),
    field("shippingAddress", Object),
    field("createdFrom", Reference),
    field("toBeEmailed", Boolean),
    field("total", Number),
];

const PERSON_FIELDS: &[Field] = &[
    field("entityId", Text),
    field("companyName", Text),
    field("firstName", Text),
    field("lastName", Text),
    field("isPerson", Boolean),
    field("isInactive", Boolean),
    field("email", Text),
    field("phone", Text),
    field("comments", Text),
    field("url", Text),
    field("subsidiary", Reference),
    field("currency", Reference),
    field("terms", Reference),
    field("salesRep", Reference),
    field("category", Reference),
    field("entityStatus", Reference),
    field("company", Reference),
    field("parent", Reference),
    field("creditLimit", Number),
    field("vatRegNumber", Text),
];

const ADDRESS_BOOK: Sublist = Sublist {
    name: "addressBook",
    key: Some("internalId"),
    required: false,
    fields: &[
        field("internalId", Number),
        field("label", Text),
        field("defaultBilling", Boolean),
        field("defaultShipping", Boolean),
        field("addressBookAddress", Object),
    ],
};

/// A sublist without a key: its lines are added by every update that does not replace it.
const GROUP_PRICING: Sublist = Sublist {
    name: "groupPricing",
    key: None,
    required: false,
    fields: &[required("group", Reference), field("level", Reference)],
};

const RECORD_TYPES: &[RecordType] = &[
    RecordType {
        name: "salesOrder",
        suiteql: ("transaction", Some("SalesOrd")),
        fields: TRANSACTION_FIELDS,
        sublists: ORDER_ITEMS,
    },
    RecordType {
        name: "invoice",
        suiteql: ("transaction", Some("CustInvc")),
        fields: TRANSACTION_FIELDS,
        sublists: ORDER_ITEMS,
    },
    RecordType {
        name: "cashSale",
        suiteql: ("transaction", Some("CashSale")),
        fields: TRANSACTION_FIELDS,
        sublists: ORDER_ITEMS,
    },
    RecordType {
        name: "purchaseOrder",
        suiteql: ("transaction", Some("PurchOrd")),
        fields: TRANSACTION_FIELDS,
        sublists: ORDER_ITEMS,
    },
    RecordType {
        name: "itemFulfillment",
        suiteql: ("transaction", Some("ItemShip")),
        fields: TRANSACTION_FIELDS,
        sublists: ORDER_ITEMS,
    },
    RecordType {
        name: "customer",
        suiteql: ("customer", None),
        fields: PERSON_FIELDS,
        sublists: &[ADDRESS_BOOK, GROUP_PRICING],
    },
    RecordType {
        name: "vendor",
        suiteql: ("vendor", None),
        fields: PERSON_FIELDS,
        sublists: &[ADDRESS_BOOK],
    },
    RecordType {
        name: "contact",
        suiteql: ("contact", None),
        fields: PERSON_FIELDS,
        sublists: &[ADDRESS_BOOK],
    },
    RecordType {
        name: "employee",
        suiteql: ("employee", None),
        fields: PERSON_FIELDS,
        sublists: &[ADDRESS_BOOK],
    },
    RecordType {
        name: "inventoryItem",
        suiteql: ("item", Some("InvtPart")),
        fields: &[
            required("itemId", Text),
            field("displayName", Text),
            field("upcCode", Text),
            field("cost", Number),
            field("basePrice", Number),
            field("isInactive", Boolean),
            field("taxSchedule", Reference),
            field("subsidiary", Reference),
        ],
        sublists: &[],
    },
    RecordType {
        name: "journalEntry",
        suiteql: ("transaction", Some("Journal")),
        fields: &[
            field("tranId", Text),
            field("tranDate", Date),
            field("memo", Text),
            field("subsidiary", Reference),
            field("currency", Reference),
            field("approved", Boolean),
        ],
        sublists: &[Sublist {
            name: "line",
            key: Some("line"),
            required: true,
            fields: &[
                required("account", Reference),
                field("line", Number),
                field("debit", Number),
                field("credit", Number),
                field("memo", Text),
                field("entity", Reference),
                field("department", Reference),
            ],
        }],
    },
];

/// Records of any type whose name begins with `customrecord`.
const CUSTOM_RECORD: RecordType = RecordType {
    name: "customrecord",
    suiteql: ("customrecord", None),
    fields: &[field("name", Text), field("isInactive", Boolean), field("owner", Reference)],
    sublists: &[],
};

/// What can be made of what, by `!transform`.
const TRANSFORMS: &[(&str, &str)] =
    &[("salesOrder", "invoice"), ("salesOrder", "cashSale"), ("salesOrder", "itemFulfillment")];

/// Looks a record type up by its name in a path, in any case, and gives the name that counts.
pub(crate) fn find(name: &str) -> Option<(&'static RecordType, String)> {
    let lower = name.to_lowercase();
    if lower.starts_with("customrecord") {
        return Some((&CUSTOM_RECORD, lower));
    }
    let known = RECORD_TYPES.iter().find(|known| known.name.eq_ignore_ascii_case(name))?;
    Some((known, known.name.to_owned()))
}

/// All record types but custom ones.
pub(crate) fn all() -> impl Iterator<Item = &'static RecordType> {
    RECORD_TYPES.iter()
}

/// What happens to a property that the type does not have: header
/// `X-NetSuite-PropertyNameValidation`, `Warning` if it is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownNames {
    /// `Error`: the body is refused.
    Refuse,
    /// `Warning` and `Ignore`: the property is left out of the record.
    Drop,
}

/// Fields that every record has and that no body sets.
pub(crate) const STANDARD_FIELDS: &[Field] = &[
    field("id", Number),
    field("externalId", Text),
    field("createdDate", Kind::Moment),
    field("lastModifiedDate", Kind::Moment),
];

impl RecordType {
    /// The type that a record of type `from` becomes by a transform to `to`.
    pub(crate) fn transformed(from: &str, to: &str) -> Option<(&'static Self, String)> {
        let (record_type, name) = find(to)?;
        TRANSFORMS.contains(&(from, name.as_str())).then_some((record_type, name))
    }

    /// Whether NetSuite calls its records entities, in its words too.
    pub(crate) fn is_entity(&self) -> bool {
        matches!(self.name, "customer" | "vendor" | "contact" | "employee")
    }

    /// Whether a transform into this type carries a field or sublist over.
    pub(crate) fn carries(&self, name: &str) -> bool {
        let has_it =
            self.sublist(name).is_some() || self.fields.iter().any(|field| field.name == name);
        has_it && !matches!(name, "tranId" | "status" | "orderStatus")
    }

    /// The SuiteQL table that holds records of this type; a custom type's is its own name.
    pub(crate) fn table<'n>(&self, type_name: &'n str) -> &'n str
    where
        'static: 'n,
    {
        match self.suiteql.0 {
            "customrecord" => type_name,
            table => table,
        }
    }

    /// The column that tells the types of a shared SuiteQL table apart.
    pub(crate) fn type_column(&self) -> Option<&'static str> {
        match self.suiteql.0 {
            "transaction" => Some("type"),
            "item" => Some("itemtype"),
            _ => None,
        }
    }

    /// This type's value in that column.
    pub(crate) fn type_code(&self) -> Option<&'static str> {
        self.suiteql.1
    }

    pub(crate) fn is_subrecord(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name && field.kind == Object)
    }

    /// Whether conditions can be put on a field of this name.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        name.starts_with("cust")
            || self.fields.iter().chain(STANDARD_FIELDS).any(|field| field.name == name)
    }

    pub(crate) fn sublist(&self, name: &str) -> Option<&'static Sublist> {
        self.sublists.iter().find(|sublist| sublist.name == name)
    }

    /// Checks the values in a body, and gives the properties that belong to the record.
    pub(crate) fn admit(
        &self,
        body: Map<String, Value>,
        unknown: UnknownNames,
    ) -> Result<Map<String, Value>, Problem> {
        let mut admitted = Map::new();
        for (name, value) in body {
            if let Some(sublist) = self.sublist(&name) {
                let items = sublist.admit(value, unknown)?;
                admitted.insert(name, items);
            } else if admit_field(self.fields, &name, &name, &value, unknown)? {
                admitted.insert(name, value);
            }
        }
        Ok(admitted)
    }

    /// Checks that a record, as it would be saved, has all that is required.
    pub(crate) fn complete(&self, record: &Map<String, Value>) -> Result<(), Problem> {
        missing(self.fields, record).map_or(Ok(()), |name| Err(required_value(name)))?;
        for sublist in self.sublists {
            let lines = lines(record, sublist.name);
            if sublist.required && lines.is_empty() {
                return Err(required_value(format!("{}.items", sublist.name)));
            }
            for (index, line) in lines.iter().enumerate() {
                let missing = line.as_object().and_then(|line| missing(sublist.fields, line));
                if let Some(name) = missing {
                    return Err(required_value(format!("{}.items[{index}].{name}", sublist.name)));
                }
            }
        }
        Ok(())
    }
}

/// The lines of a record's sublist; none if it has no such sublist.
pub(crate) fn lines<'r>(record: &'r Map<String, Value>, sublist: &str) -> &'r [Value] {
    record
        .get(sublist)
        .and_then(|sublist| sublist.get("items"))
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

impl Sublist {
    fn admit(&self, value: Value, unknown: UnknownNames) -> Result<Value, Problem> {
        let Some(items) = value.get("items").and_then(Value::as_array) else {
            return Err(Problem::invalid_content(
                self.name,
                "a sublist is an object with a list 'items'",
            ));
        };
        let mut admitted = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}.items[{index}]", self.name);
            let Some(line) = item.as_object() else {
                return Err(Problem::invalid_content(path, "a line is an object"));
            };
            let mut kept = Map::new();
            for (name, value) in line {
                if admit_field(self.fields, name, &format!("{path}.{name}"), value, unknown)? {
                    kept.insert(name.clone(), value.clone());
                }
            }
            admitted.push(Value::Object(kept));
        }
        Ok(serde_json::json!({ "items": admitted }))
    }
}

/// Whether the property is to be kept.
fn admit_field(
    fields: &[Field],
    name: &str,
    path: &str,
    value: &Value,
    unknown: UnknownNames,
) -> Result<bool, Problem> {
    if name.starts_with("cust") {
        return Ok(true);
    }
    if name == "externalId" {
        return match value {
            Value::String(_) | Value::Null => Ok(true),
            _ => Err(Problem::invalid_content(path, "an external ID is a text")),
        };
    }
    // What an answer holds and a caller may send back unchanged.
    if matches!(name, "id" | "links" | "refName") {
        return Ok(false);
    }
    let Some(field) = fields.iter().find(|field| field.name == name) else {
        return match unknown {
            UnknownNames::Drop => Ok(false),
            UnknownNames::Refuse => {
                Err(Problem::invalid_content(path, format!("unknown property name '{name}'")))
            }
        };
    };
    match value {
        Value::Null => Ok(true),
        value => match field.kind.mismatch(value) {
            None => Ok(true),
            Some(wanted) => Err(Problem::invalid_content(
                path,
                format!(
                    "You have entered an Invalid Field Value {value} for the following field: {name}: {wanted}"
                ),
            )),
        },
    }
}

impl Kind {
    /// What the field wants, if the value is not that.
    fn mismatch(self, value: &Value) -> Option<&'static str> {
        let (fits, wanted) = match self {
            Text | Self::Moment => (value.is_string(), "a text"),
            Number => (value.is_number(), "a number"),
            Positive => (value.as_f64().is_some_and(|number| number > 0.0), "a number above 0"),
            Boolean => (value.is_boolean(), "true or false"),
            Date => (
                value.as_str().is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok()),
                "a date as YYYY-MM-DD",
            ),
            Reference => {
                (is_reference(value), r#"a reference as {"id": "107"} or {"externalId": "c-107"}"#)
            }
            Object => (value.is_object(), "an object"),
        };
        (!fits).then_some(wanted)
    }
}

fn is_reference(value: &Value) -> bool {
    let named = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
    match (value.get("id"), value.get("externalId")) {
        (Some(id), _) => id.is_u64() || named(id),
        (None, Some(external_id)) => named(external_id),
        (None, None) => false,
    }
}

fn missing(fields: &[Field], record: &Map<String, Value>) -> Option<&'static str> {
    fields
        .iter()
        .filter(|field| field.required)
        .find(|field| record.get(field.name).is_none_or(Value::is_null))
        .map(|field| field.name)
}

fn required_value(path: impl Into<String>) -> Problem {
    let path = path.into();
    let why = format!("Please enter value(s) for: {path}");
    Problem::invalid_content(path, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused_at(record_type: &str, body: Value, unknown: UnknownNames) -> Option<String> {
        let (record_type, _) = find(record_type).unwrap();
        let Value::Object(body) = body else { panic!("a body is an object") };
        let admitted =
            record_type.admit(body, unknown).and_then(|body| record_type.complete(&body));
        let request = http::Request::new(bytes::Bytes::new());
        let response = admitted.err()?.answer_to(&request);
        assert_eq!(response.status(), 400);
        let error: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(error["o:errorDetails"][0]["o:errorCode"], "INVALID_CONTENT");
        Some(error["o:errorDetails"][0]["o:errorPath"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_sales_order_is_refused_at_the_path_of_its_fault() {
        let line = json!({"item": {"id": "3"}, "quantity": 2});
        let order =
            |entity: Value, items: Value| json!({"entity": entity, "item": {"items": items}});
        let entity = json!({"id": 107});
        let table = [
            (order(entity.clone(), json!([line])), None),
            (order(json!({"externalId": "c-1"}), json!([line, line])), None),
            (json!({"item": {"items": [line]}}), Some("entity")),
            (order(json!(null), json!([line])), Some("entity")),
            (order(json!("107"), json!([line])), Some("entity")),
            (order(json!({"refName": "Acme"}), json!([line])), Some("entity")),
            (json!({"entity": entity}), Some("item.items")),
            (order(entity.clone(), json!([])), Some("item.items")),
            (json!({"entity": entity, "item": [line]}), Some("item")),
            (order(entity.clone(), json!([line, 5])), Some("item.items[1]")),
            (order(entity.clone(), json!([{"item": {"id": "3"}}])), Some("item.items[0].quantity")),
            (
                order(entity.clone(), json!([{"item": {"id": "3"}, "quantity": 0}])),
                Some("item.items[0].quantity"),
            ),
            (
                order(entity.clone(), json!([{"item": {"id": "3"}, "quantity": "2"}])),
                Some("item.items[0].quantity"),
            ),
            (order(entity.clone(), json!([{"quantity": 1}])), Some("item.items[0].item")),
            (
                json!({"entity": entity, "item": {"items": [line]}, "tranDate": "21.11.2026"}),
                Some("tranDate"),
            ),
            (
                json!({"entity": entity, "item": {"items": [line]}, "externalId": 5}),
                Some("externalId"),
            ),
        ];
        for (body, path) in table {
            let refused = refused_at("salesOrder", body.clone(), UnknownNames::Drop);
            assert_eq!(refused.as_deref(), path, "{body}");
        }
    }

    #[test]
    fn unknown_names_are_dropped_or_refused_and_custom_fields_kept() {
        let (customer, _) = find("CUSTOMER").unwrap();
        let Value::Object(body) =
            json!({"companyName": "Acme", "colour": "red", "custentity_tier": 3})
        else {
            unreachable!()
        };
        let kept = customer.admit(body.clone(), UnknownNames::Drop).unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["companyName", "custentity_tier"]);
        assert_eq!(
            refused_at("customer", Value::Object(body), UnknownNames::Refuse).as_deref(),
            Some("colour")
        );
        assert!(find("custmer").is_none());
        assert_eq!(find("customrecord_Shipment").unwrap().1, "customrecord_shipment");
    }
}
