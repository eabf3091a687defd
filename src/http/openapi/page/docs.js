"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  // Everything that comes from the document is put in as text.
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value != null) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  };
  let api;
  const resolve = (schema) => {
    for (let depth = 0; schema && schema.$ref && depth < 16; depth += 1) {
      schema = schema.$ref.slice(2).split("/").reduce((value, part) => value && value[part], api);
    }
    return schema || {};
  };
  const nameOf = (schema) => (schema.$ref ? schema.$ref.split("/").pop() : null);

  // What a value is, in a few words.
  const kind = (schema, depth = 0) => {
    const name = nameOf(schema);
    if (name && depth > 0) return name;
    const whole = resolve(schema);
    if (whole.const !== undefined) return JSON.stringify(whole.const);
    if (whole.enum) return whole.enum.map((word) => JSON.stringify(word)).join(" | ");
    const ways = whole.anyOf || whole.oneOf;
    if (ways) return ways.map((way) => kind(way, depth + 1)).join(" | ");
    const types = [].concat(whole.type || "any").map((type) => {
      if (type === "array" && whole.prefixItems) return `[${whole.prefixItems.map((item) => kind(item, depth + 1)).join(", ")}]`;
      if (type === "array" && depth < 4) return `list of ${kind(whole.items || {}, depth + 1)}`;
      return type;
    });
    return types.join(" | ");
  };

  // Every named schema that a schema leads to, itself first.
  const named = (schema, found = new Map()) => {
    if (!schema || typeof schema !== "object") return found;
    const name = nameOf(schema);
    if (name) {
      if (found.has(name)) return found;
      schema = resolve(schema);
      found.set(name, schema);
    }
    for (const part of ["anyOf", "oneOf", "allOf", "prefixItems"]) (schema[part] || []).forEach((way) => named(way, found));
    Object.values(schema.properties || {}).forEach((member) => named(member, found));
    for (const part of ["items", "additionalProperties"]) named(schema[part], found);
    return found;
  };

  const about = (schema) => {
    const whole = resolve(schema);
    const words = [];
    if (whole.description) words.push(whole.description);
    if (whole["x-levels"]) {
      const levels = whole["x-levels"].slice(0, 12).join(", ");
      words.push(`Levels: ${levels}${whole["x-levels-count"] > 12 ? `, … (${whole["x-levels-count"]})` : ""}.`);
    }
    if (whole["x-classes"] && whole["x-classes"].length) words.push(`Classes: ${whole["x-classes"].slice(0, 12).join(", ")}.`);
    if (whole["x-training-range"]) words.push(`In training from ${whole["x-training-range"].join(" to ")}.`);
    if (whole.pattern) words.push(`Pattern ${whole.pattern}`);
    if (whole.examples && typeof whole.examples[0] !== "object") words.push(`For example ${JSON.stringify(whole.examples[0])}.`);
    return words.join(" ");
  };

  const table = (schema) => {
    const required = new Set(schema.required || []);
    const rows = Object.entries(schema.properties || {}).map(([name, member]) =>
      make("tr", {}, make("td", {}, name + (required.has(name) ? "" : "?")), make("td", {}, kind(member, 1)), make("td", {}, about(member))));
    const head = make("tr", {}, ...["member", "type", ""].map((text) => make("th", {}, text)));
    return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  };

  const tables = (schema) => {
    const parts = [];
    const whole = resolve(schema);
    if (!nameOf(schema)) parts.push(whole.properties ? table(whole) : make("p", {}, make("code", {}, kind(schema))));
    for (const [name, inner] of named(schema)) {
      parts.push(make("h3", {}, name), inner.properties ? table(inner) : make("p", {}, make("code", {}, kind(inner)), " ", about(inner)));
    }
    return parts;
  };

  // Something that fits a schema.
  const example = (schema, depth = 0) => {
    const whole = resolve(schema);
    if (whole.examples) return whole.examples[0];
    if (whole.const !== undefined) return whole.const;
    if (whole.enum) return whole.enum[0];
    const ways = whole.anyOf || whole.oneOf;
    if (ways) return example(ways[0], depth);
    const type = [].concat(whole.type || [])[0];
    if (type === "object" && depth < 6) {
      const names = whole.required || [];
      return Object.fromEntries(names.map((name) => [name, example((whole.properties || {})[name] || {}, depth + 1)]));
    }
    if (type === "array") return depth < 6 && whole.minItems ? [example(whole.items || {}, depth + 1)] : [];
    if (type === "integer" || type === "number") return Math.max(0, whole.minimum || 0);
    if (type === "boolean") return false;
    if (type === "string") return "";
    return null;
  };

  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  const tryIt = (path, method, operation) => {
    const inputs = (operation.parameters || []).map((parameter) => {
      const shown = parameter.schema.examples || parameter.schema.enum;
      const input = make("input", { placeholder: kind(parameter.schema), value: parameter.required ? shown ? shown[0] : parameter.name === "version" ? "1" : "" : null });
      return { parameter, input };
    });
    const content = operation.requestBody && operation.requestBody.content;
    const json = content && content["application/json"];
    const body = json && make("textarea", { spellcheck: "false", "aria-label": "body" });
    if (body) {
      const shown = json.example !== undefined ? json.example : operation.requestBody.required ? example(json.schema) : undefined;
      body.value = shown === undefined ? "" : JSON.stringify(shown, null, 1);
    }
    const file = content && !json && make("input", { type: "file", "aria-label": "file" });
    const answer = make("div", { role: "status" });
    const request = () => {
      let place = path.slice(1);
      const query = new URLSearchParams();
      const headers = {};
      for (const { parameter, input } of inputs) {
        if (parameter.in === "path") place = place.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
        else if (input.value === "") continue;
        else if (parameter.in === "query") query.set(parameter.name, input.value);
        else headers[parameter.name] = input.value;
      }
      if (operation.security) headers.authorization = `Bearer ${byId("token").value}`;
      const sent = body ? body.value : file ? file.files[0] : undefined;
      if (sent) headers["content-type"] = body ? "application/json" : "application/octet-stream";
      const url = new URL(place + (query.size ? `?${query}` : ""), document.baseURI);
      return { url, options: { method: method.toUpperCase(), headers, body: sent || undefined, cache: "no-store" } };
    };
    const send = async () => {
      const { url, options } = request();
      const shown = { ...options.headers };
      if (shown.authorization) shown.authorization = "Bearer $TOKEN";
      const fields = Object.entries(shown).map(([name, value]) => ` -H ${quoted(`${name}: ${value}`)}`).join("").replace("$TOKEN'", "'\"$TOKEN\"");
      const data = !options.body ? "" : typeof options.body === "string" ? ` -d ${quoted(options.body)}` : ` --data-binary @${options.body.name}`;
      const curl = `curl -X ${options.method} ${quoted(url.href)}${fields}${data}`;
      answer.replaceChildren(make("p", {}, "Asking…"));
      try {
        const begun = performance.now();
        const response = await fetch(url, options);
        const text = await response.text();
        const took = Math.round(performance.now() - begun);
        let pretty = text;
        try { pretty = JSON.stringify(JSON.parse(text), null, 1); } catch { /* It is shown as it is. */ }
        const version = response.headers.get("x-model-version");
        const line = `${response.status} ${response.statusText}, ${took} ms${version ? `, version ${version}` : ""}`;
        answer.replaceChildren(make("p", { class: response.ok ? "answer" : "answer bad" }, line), make("pre", {}, pretty), make("pre", {}, curl));
      } catch (error) {
        answer.replaceChildren(make("p", { class: "bad" }, `No answer: ${error.message}`), make("pre", {}, curl));
      }
    };
    const fields = inputs.flatMap(({ parameter, input }, index) => {
      const id = `${operation.operationId}-${index}`;
      input.id = id;
      return [make("label", { for: id }, make("code", {}, parameter.name), ` (${parameter.in})`), input, parameter.description ? make("small", {}, parameter.description) : null];
    });
    return [fields.length ? make("div", { class: "fields" }, ...fields.filter(Boolean)) : null, body || file || null, make("p", {}, make("button", { type: "button", onclick: send }, "Send")), answer];
  };

  const shownOperation = (path, method, operation) => {
    const inside = make("div");
    const details = make("details", { class: "operation", id: operation.operationId },
      make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path), make("span", { class: "what" }, operation.summary || ""), operation.security ? make("span", { class: "lock" }, "token") : null), inside);
    details.addEventListener("toggle", () => {
      if (!details.open || inside.childElementCount) return;
      const content = operation.requestBody && operation.requestBody.content["application/json"];
      inside.append(...tryIt(path, method, operation).filter(Boolean));
      if (content) inside.append(make("h3", {}, "What it takes"), ...tables(content.schema));
      inside.append(make("h3", {}, "What it gives"));
      const statuses = Object.entries(operation.responses).map(([status, response]) => {
        const schema = (Object.values(response.content || {})[0] || {}).schema;
        return make("tr", {}, make("td", {}, status), make("td", {}, schema ? kind(schema, 1) : ""), make("td", {}, response.description));
      });
      inside.append(make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...statuses))));
      const good = operation.responses[200] || operation.responses[201] || {};
      const schema = ((good.content || {})["application/json"] || {}).schema;
      if (schema) inside.append(...tables(schema));
    });
    // What is looked for: path, name, words, and the names that its request has.
    const words = () => [path, operation.operationId, operation.summary, JSON.stringify(operation.requestBody || "")];
    const content = operation.requestBody && operation.requestBody.content["application/json"];
    const members = () => (content ? [...named(content.schema).values()].flatMap((inner) => Object.keys(inner.properties || {})) : []);
    details.words = words().concat(operation.tags[0] === "models" ? members() : []).join(" ").toLowerCase();
    return details;
  };

  const show = () => {
    byId("title").textContent = document.title = api.info.title;
    byId("about").textContent = `${api.info.description} Version ${api.info.version}.`;
    byId("token-field").hidden = !(api.components.securitySchemes || {}).adminToken;
    const sections = (api.tags || []).map((tag) => {
      const operations = Object.entries(api.paths).flatMap(([path, item]) =>
        Object.entries(item).filter(([, operation]) => operation.tags[0] === tag.name).map(([method, operation]) => shownOperation(path, method, operation)));
      return make("section", {}, make("h2", {}, tag.name), make("p", {}, tag.description), ...operations);
    });
    byId("main").replaceChildren(...sections);
    byId("find").addEventListener("input", (event) => {
      const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const details of document.querySelectorAll("details.operation")) details.hidden = !wanted.every((word) => details.words.includes(word));
      for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector("details:not([hidden])");
    });
    const asked = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    if (asked) { asked.open = true; asked.scrollIntoView(); }
  };

  fetch("openapi.json").then((response) => (response.ok ? response.json() : Promise.reject(new Error(`status ${response.status}`))))
    .then((found) => { api = found; show(); })
    .catch((error) => { byId("state").className = "bad"; byId("state").textContent = `The description cannot be read: ${error.message}`; });
})();
