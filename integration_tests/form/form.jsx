// The specification as a form, drawn by react-jsonschema-form. What is here only tells it the words of a specification
// that are Airbyte's own, as Airbyte's form takes them: order, always_show, airbyte_secret, airbyte_hidden,
// pattern_descriptor, and that a constant and a choice of one are not asked for.

import Form, { getDefaultRegistry } from "@rjsf/core";
import { customizeValidator } from "@rjsf/validator-ajv8";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const isHidden = (schema) => "const" in schema || schema.airbyte_hidden;

/** The schema, with the key named that tells the branches of a choice apart. */
function discriminated(node) {
  if (typeof node !== "object" || node === null) return node;
  if (Array.isArray(node)) return node.map(discriminated);
  const schema = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, discriminated(value)]));
  if (!Array.isArray(schema.oneOf)) return schema;
  const [first] = schema.oneOf;
  const propertyName = Object.keys(first.properties).find((key) => "const" in first.properties[key]);
  return { ...schema, discriminator: { propertyName } };
}

/** A field: its title, what is said of it, and its input. */
function FieldTemplate({ id, schema, required, rawErrors = [], children }) {
  if (isHidden(schema)) return null;
  if (schema.type === "object" && !schema.oneOf) return children;
  return (
    <div className={rawErrors.length ? "field wrong" : "field"}>
      <label htmlFor={schema.oneOf ? `${id}__oneof_select` : id}>{schema.title}</label>
      {!required && !schema.oneOf && <span className="optional">Optional</span>}
      {schema.pattern_descriptor && <span className="format">{schema.pattern_descriptor}</span>}
      <p className="description" dangerouslySetInnerHTML={{ __html: schema.description }} />
      {schema.examples && <p className="examples">Such as {schema.examples.map((it) => <code key={it}>{it}</code>)}</p>}
      {children}
      {!schema.oneOf && rawErrors.map((error) => <p className="error" role="alert" key={error}>{error}</p>)}
    </div>
  );
}

/** The fields of an object: those that must be seen, in their order, then the others, folded. */
function ObjectFieldTemplate({ schema, properties }) {
  const setting = ({ name }) => schema.properties[name];
  const isShown = (field) =>
    schema.required?.includes(field.name) || setting(field).always_show || setting(field).oneOf;
  const fields = properties
    .filter((field) => !isHidden(setting(field)))
    .sort((one, other) => setting(one).order - setting(other).order);
  const folded = fields.filter((field) => !isShown(field));
  return (
    <>
      {fields.filter(isShown).map((field) => field.content)}
      {folded.length > 0 && (
        <details>
          <summary>Optional fields</summary>
          {folded.map((field) => field.content)}
        </details>
      )}
    </>
  );
}

/** A choice: the branches by their titles, then what is said of the chosen one and its fields. */
function MultiSchemaFieldTemplate({ selector, optionSchemaField }) {
  return (
    <div className="choice">
      {selector}
      <p className="branch" dangerouslySetInnerHTML={{ __html: optionSchemaField.props.schema.description }} />
      {optionSchemaField}
    </div>
  );
}

const { PasswordWidget, TextWidget: PlainWidget } = getDefaultRegistry().widgets;
const TextWidget = (props) => (props.schema.airbyte_secret ? <PasswordWidget {...props} /> : <PlainWidget {...props} />);

function Page({ specification }) {
  const [saved, save] = useState("");
  return (
    <main>
      <h1>Heap Analytics</h1>
      <Form
        schema={discriminated(specification.connectionSpecification)}
        uiSchema={{ "ui:submitButtonOptions": { submitText: "Save" } }}
        validator={customizeValidator({ ajvOptionsOverrides: { discriminator: true } })}
        templates={{ FieldTemplate, ObjectFieldTemplate, MultiSchemaFieldTemplate }}
        widgets={{ TextWidget }}
        noHtml5Validate
        showErrorList={false}
        onError={() => save("")}
        onSubmit={({ formData }) => save(JSON.stringify(formData))}
      />
      <output>{saved}</output>
    </main>
  );
}

createRoot(document.getElementById("form")).render(
  <Page specification={JSON.parse(document.getElementById("specification").textContent)} />,
);
