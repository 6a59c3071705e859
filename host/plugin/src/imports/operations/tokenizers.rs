//! `tokenizers`: reads definitions once and shares what was read; the work is `nereid-operations`'.

use std::sync::Arc;

use nereid_inference::InferError;
use nereid_operations::{Budget, EncodeOptions, Tokenizer, TokenizerOptions};
use wasmtime::component::Resource;

use super::{
    Answer, Handle,
    options::Options,
    run::{Weight, caught},
};
use crate::{
    bindings::nereid::plugin::{
        tokenizers::{Encoding, Host, HostTokenizer},
        types::{Error, Parameter},
    },
    convert,
    failure::Stop,
    state::PluginState,
    tokenizer_shelf,
};

/// Tokenizers that one guest may keep open; a model has one, a pipeline of several a few.
const TOKENIZERS_MAX: usize = 4;

/// Encoding cuts, looks up and merges: so many passes over the text.
const ENCODING_PASSES: u64 = 16;

/// A tokenizer that the guest opened.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TokenizerHandle(Arc<Tokenizer>);

type Opened = Answer<Resource<TokenizerHandle>>;

// === impl PluginState ===

impl PluginState {
    fn check_tokenizers(&self) -> Result<(), InferError> {
        self.check_handles()?;
        if self.tokenizers.len() < TOKENIZERS_MAX {
            return Ok(());
        }
        let text = format!("{TOKENIZERS_MAX} tokenizers are open, the most that an instance may keep; close one");
        Err(InferError::resource_exhausted(text))
    }

    /// What the definition describes, read here or found; elsewhere, where others would wait for it.
    async fn read_tokenizer(&mut self, definition: Vec<u8>, options: TokenizerOptions) -> Opened {
        if let Err(error) = self.check_tokenizers() {
            self.note_refusal(&error);
            return Ok(Err(convert::error(error)));
        }
        let budget = Budget::new(self.call.account.left());
        let work = move || caught(|| tokenizer_shelf::get_or_read(&definition, options, budget));
        let read = if self.may_block() { work() } else { self.compute_elsewhere(work).await? };
        self.check_clocks()?;
        let read = read.inspect_err(|error| self.note_refusal(error)).map_err(convert::error);
        Ok(read.map(|tokenizer| Resource::new_own(self.tokenizers.insert(TokenizerHandle(tokenizer)))))
    }

    fn tokenizer(&self, handle: &Resource<TokenizerHandle>) -> Result<Arc<Tokenizer>, Stop> {
        let found = self.tokenizers.get(handle.rep()).ok_or(Stop::StaleHandle("tokenizer"))?;
        Ok(found.0.clone())
    }
}

impl Host for PluginState {}

impl HostTokenizer for PluginState {
    async fn open(&mut self, path: String, options: Vec<Parameter>) -> Opened {
        let options = match tokenizer_options("tokenizer.open", options) {
            Ok(options) => options,
            Err(error) => return Ok(Err(error)),
        };
        match self.read_file("tokenizers.tokenizer.open", path).await? {
            Ok(definition) => self.read_tokenizer(definition, options).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn from_bytes(&mut self, definition: Vec<u8>, options: Vec<Parameter>) -> Opened {
        self.enter("tokenizers.tokenizer.from-bytes")?;
        match tokenizer_options("tokenizer.from-bytes", options) {
            Ok(options) => self.read_tokenizer(definition, options).await,
            Err(error) => Ok(Err(error)),
        }
    }

    fn vocabulary_size(&mut self, handle: Resource<TokenizerHandle>) -> wasmtime::Result<u32> {
        self.enter("tokenizers.tokenizer.vocabulary-size")?;
        Ok(self.tokenizer(&handle)?.vocabulary_size())
    }

    fn token_id(&mut self, handle: Resource<TokenizerHandle>, token: String) -> wasmtime::Result<Option<u32>> {
        self.enter("tokenizers.tokenizer.token-id")?;
        Ok(self.tokenizer(&handle)?.token_id(&token))
    }

    fn token(&mut self, handle: Resource<TokenizerHandle>, id: u32) -> wasmtime::Result<Option<String>> {
        self.enter("tokenizers.tokenizer.token")?;
        Ok(self.tokenizer(&handle)?.token(id))
    }

    async fn encode(
        &mut self,
        handle: Resource<TokenizerHandle>,
        texts: Handle,
        pairs: Option<Handle>,
        options: Vec<Parameter>,
    ) -> Answer<Encoding> {
        const IMPORT: &str = "tokenizers.tokenizer.encode";
        let handles: Vec<Handle> = std::iter::once(texts).chain(pairs).collect();
        let operands = self.operand_list(IMPORT, &handles)?;
        let tokenizer = self.tokenizer(&handle)?;
        let options = match encode_options(options) {
            Ok(options) => options,
            Err(error) => return Ok(Err(error)),
        };
        let encoding = self.operate(&operands, Weight::passes(ENCODING_PASSES), move |tensors, budget| {
            let [texts, pairs @ ..] = tensors.as_slice() else { return Ok(None) };
            tokenizer.encode(texts, pairs.first(), options, budget).map(Some)
        });
        let encoding = encoding.await?.and_then(|encoded| {
            let encoded = encoded.ok_or_else(|| InferError::internal("encode: there is no tensor"))?;
            self.usage_of_caller().encoded(encoded.token_count);
            let kept = self.keep_all(&operands.charges, vec![encoded.ids, encoded.mask, encoded.type_ids])?;
            let [ids, mask, type_ids] = <[Handle; 3]>::try_from(kept)
                .map_err(|_| InferError::internal("encode: three tensors became others"))?;
            Ok(Encoding { ids, mask, type_ids })
        });
        Ok(encoding.map_err(convert::error))
    }

    async fn decode(
        &mut self,
        handle: Resource<TokenizerHandle>,
        ids: Handle,
        options: Vec<Parameter>,
    ) -> Answer<Handle> {
        let operands = self.operands("tokenizers.tokenizer.decode", [&ids])?;
        let tokenizer = self.tokenizer(&handle)?;
        let mut options = Options::of("decode", options);
        let skip_special = options.flag_or("skip-special", true);
        if let Err(error) = options.finish() {
            return Ok(Err(error));
        }
        let [ids] = &operands.tensors;
        let token_count = ids.element_count();
        let decoded = self.operate_one(operands, Weight::passes(ENCODING_PASSES), move |[ids], budget| {
            tokenizer.decode(&ids, skip_special, budget)
        });
        let decoded = decoded.await?;
        if decoded.is_ok() {
            self.usage_of_caller().decoded(token_count);
        }
        Ok(decoded)
    }

    fn drop(&mut self, handle: Resource<TokenizerHandle>) -> wasmtime::Result<()> {
        self.tokenizers.remove(handle.rep());
        Ok(())
    }
}

fn tokenizer_options(operation: &'static str, options: Vec<Parameter>) -> Result<TokenizerOptions, Error> {
    let mut options = Options::of(operation, options);
    let length_max = options.count("max-length").map(clamped);
    let cuts_beginning = options.flag("cut-beginning");
    options.finish()?;
    Ok(TokenizerOptions { length_max, cuts_beginning })
}

fn encode_options(options: Vec<Parameter>) -> Result<EncodeOptions, Error> {
    let mut options = Options::of("encode", options);
    let special_tokens = options.flag_or("special-tokens", true);
    let length = options.count("length").map(clamped);
    options.finish()?;
    Ok(EncodeOptions { special_tokens, length })
}

fn clamped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
