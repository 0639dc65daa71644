//! Reads the part of Python's pickle format that tensors are saved in, and runs nothing.
//!
//! A pickle is a program for a stack machine, and one of its instructions calls any function there is. Here it is read as
//! data: of all that a pickle may call, three constructors of tensors and dictionaries are known, and a file that names
//! anything else is refused with that name. Values are shared, never copied, so a short file cannot become a large one.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

/// A value that a pickle describes.
#[derive(Debug, Clone)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(Rc<str>),
    /// Bytes.
    Bytes(Rc<[u8]>),
    /// A list, a tuple or a set.
    Sequence(Rc<Vec<Value>>),
    /// A dictionary, in its order.
    Dictionary(Rc<Vec<(Value, Value)>>),
    /// A name that stands for a class or a function, as `module.name`.
    Name(Rc<str>),
    /// What the file keeps elsewhere: what a tensor's numbers are, and where.
    Storage(Rc<Storage>),
    /// A tensor over a storage.
    Tensor(Rc<TensorView>),
    /// An object that no reader here looks into.
    Opaque,
}

/// Where a tensor's numbers lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The kind of its numbers, such as `FloatStorage`.
    pub kind: String,
    /// Its name in the file.
    pub key: String,
    /// How many there are.
    pub count: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorView {
    /// The storage.
    pub storage: Storage,
    /// Numbers before the first.
    pub offset: usize,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Numbers from one place to the next along each dimension.
    pub strides: Vec<usize>,
}

impl Value {
    /// The text of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn sequence(&self) -> Result<&[Value]> {
        match self {
            Value::Sequence(values) => Ok(values),
            _ => bail!("a list was expected where there is none"),
        }
    }

    fn size(&self) -> Result<usize> {
        match self {
            Value::Int(value) => usize::try_from(*value).context("a size below 0"),
            _ => bail!("a size was expected where there is none"),
        }
    }
}

/// Reads the value at the beginning of `bytes`. Returns it and the number of bytes it took.
///
/// # Errors
/// A call of anything but tensors and dictionaries, by its name; a file that is cut off or no pickle.
pub fn read(bytes: &[u8]) -> Result<(Value, usize)> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    let value = machine.run().with_context(|| format!("byte {}", machine.at))?;
    Ok((value, machine.at))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.context("the file ends in the middle of a value")?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').context("a line does not end")?;
        let line = String::from_utf8(rest[..length].to_vec()).context("a name is not text")?;
        self.at += length + 1;
        Ok(line)
    }

    fn text(&mut self, length: usize) -> Result<()> {
        let text = std::str::from_utf8(self.take(length)?).context("a text is not UTF-8")?.into();
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "a value is missing");
        self.stack.pop().context("a value is missing")
    }

    fn last(&mut self) -> Result<&mut Value> {
        self.stack.last_mut().context("a value is missing")
    }

    /// The values since the last mark.
    fn marked(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("a mark is missing")?;
        ensure!(mark <= self.stack.len(), "a mark is missing");
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        values.reverse();
        self.stack.push(Value::Sequence(Rc::new(values)));
        Ok(())
    }

    fn set_items(&mut self, values: Vec<Value>) -> Result<()> {
        ensure!(values.len().is_multiple_of(2), "a key has no value");
        match self.last()? {
            Value::Dictionary(items) => {
                let items = Rc::make_mut(items);
                let mut values = values.into_iter();
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    items.push((key, value));
                }
            }
            Value::Opaque => {}
            _ => bail!("an item is set on something that has none"),
        }
        Ok(())
    }

    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        match self.last()? {
            Value::Sequence(items) => Rc::make_mut(items).extend(values),
            Value::Opaque => {}
            _ => bail!("a value is added to something that is no list"),
        }
        Ok(())
    }

    fn run(&mut self) -> Result<Value> {
        loop {
            let code = self.take(1)?[0];
            match code {
                // The version, and how long the next part is.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'N' => self.stack.push(Value::None),
                0x88 => self.stack.push(Value::Bool(true)),
                0x89 => self.stack.push(Value::Bool(false)),
                b'K' => {
                    let value = i64::from(self.take(1)?[0]);
                    self.stack.push(Value::Int(value));
                }
                b'M' => {
                    let value = i64::from(u16::from_le_bytes(self.number()?));
                    self.stack.push(Value::Int(value));
                }
                b'J' => {
                    let value = i64::from(i32::from_le_bytes(self.number()?));
                    self.stack.push(Value::Int(value));
                }
                0x8a => {
                    let length = usize::from(self.take(1)?[0]);
                    let digits = self.take(length)?;
                    // Only the magic number of old files is longer than eight bytes, and nobody reads it.
                    let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
                    let mut value = [if negative { 0xff } else { 0 }; 8];
                    let kept = length.min(8);
                    value[..kept].copy_from_slice(&digits[..kept]);
                    self.stack.push(Value::Int(i64::from_le_bytes(value)));
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.number()?);
                    self.stack.push(Value::Float(value));
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.number()?) as usize;
                    self.text(length)?;
                }
                0x8c => {
                    let length = usize::from(self.take(1)?[0]);
                    self.text(length)?;
                }
                b'C' | b'B' => {
                    let length = match code {
                        b'C' => usize::from(self.take(1)?[0]),
                        _ => u32::from_le_bytes(self.number()?) as usize,
                    };
                    let bytes = self.take(length)?.into();
                    self.stack.push(Value::Bytes(bytes));
                }
                b'}' => self.stack.push(Value::Dictionary(Rc::default())),
                b']' | b')' | 0x8f => self.stack.push(Value::Sequence(Rc::default())),
                b't' | b'l' => {
                    let values = self.marked()?;
                    self.stack.push(Value::Sequence(Rc::new(values)));
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let values = self.marked()?;
                    self.set_items(values)?;
                }
                b'a' => {
                    let value = self.pop()?;
                    self.append(vec![value])?;
                }
                b'e' | 0x90 => {
                    let values = self.marked()?;
                    self.append(values)?;
                }
                b'q' => {
                    let place = u32::from(self.take(1)?[0]);
                    self.remember(place)?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.number()?);
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let place = u32::from(self.take(1)?[0]);
                    self.recall(place)?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.number()?);
                    self.recall(place)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (name, module) = (name.text().context("a name")?, module.text().context("a module")?);
                    self.name(module, name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.stack.push(storage(&id)?);
                }
                b'R' => {
                    let (arguments, called) = (self.pop()?, self.pop()?);
                    self.stack.push(call(&called, &arguments)?);
                }
                // The state of an object: of a dictionary, its attributes, which nobody here asks for.
                b'b' => drop(self.pop()?),
                _ => bail!("the instruction 0x{code:02x} has no place in a file of tensors"),
            }
        }
    }

    fn remember(&mut self, place: u32) -> Result<()> {
        let value = self.last()?.clone();
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<()> {
        let value = self.memo.get(&place).context("a value is recalled that was never there")?.clone();
        self.stack.push(value);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<()> {
        let known = matches!(
            (module, name),
            ("collections", "OrderedDict") | ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_parameter")
        ) || (module == "torch" && (name.ends_with("Storage") || name == "Size"))
            || (module == "torch.serialization" && name == "_get_layout");
        ensure!(known, "the file calls {module}.{name}; only tensors are read, and nothing is run");
        self.stack.push(Value::Name(format!("{module}.{name}").into()));
        Ok(())
    }
}

/// What a persistent name of the file stands for.
fn storage(id: &Value) -> Result<Value> {
    let [kind, class, key, _, count, ..] = id.sequence()? else { bail!("a storage is not described") };
    ensure!(kind.text() == Some("storage"), "something else than a storage is kept beside the pickle");
    let Value::Name(class) = class else { bail!("a storage has no kind") };
    let kind = class.rsplit('.').next().unwrap_or_default().to_string();
    let key = key.text().context("a storage has no name")?.to_string();
    Ok(Value::Storage(Rc::new(Storage { kind, key, count: count.size()? })))
}

fn call(called: &Value, arguments: &Value) -> Result<Value> {
    let Value::Name(name) = called else { bail!("something is called that has no name") };
    let arguments = arguments.sequence()?;
    match (&**name, arguments) {
        ("collections.OrderedDict", []) => Ok(Value::Dictionary(Rc::default())),
        ("torch.Size", [size]) => Ok(size.clone()),
        ("torch._utils._rebuild_parameter", [value, ..]) => Ok(value.clone()),
        ("torch._utils._rebuild_tensor_v2", [Value::Storage(storage), offset, shape, strides, ..]) => {
            let sizes = |value: &Value| value.sequence()?.iter().map(Value::size).collect::<Result<Vec<_>>>();
            Ok(Value::Tensor(Rc::new(TensorView {
                storage: (**storage).clone(),
                offset: offset.size()?,
                shape: sizes(shape)?,
                strides: sizes(strides)?,
            })))
        }
        _ => bail!("the file calls {name} in a way that is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        format!("{:#}", read(bytes).unwrap_err())
    }

    #[test]
    fn what_calls_is_refused_by_name() {
        // What `pickle.dumps` makes of an object whose reduction is (os.system, ("id",)).
        let call = b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.";
        assert!(error(call).contains("the file calls posix.system"), "{}", error(call));
        let stacked =
            b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.";
        assert!(error(stacked).contains("posix.system"), "{}", error(stacked));
        assert!(error(b"\x80\x02ctorch.hub\nload\n.").contains("torch.hub.load"));
        // The instructions that make objects by other ways.
        for code in [b'i', b'o', 0x81, 0x92, b'P', 0x82] {
            assert!(
                error(&[0x80, 2, b'(', b'N', b'N', code, b'a', b'\n', b'b', b'\n']).contains("0x"),
                "{code}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_or_turned_around_is_an_error() {
        let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bM\x01\x02u.";
        let (Value::Dictionary(items), used) = read(whole).unwrap() else { panic!("a dictionary") };
        assert_eq!((items.len(), used), (2, whole.len()));
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err());
        }
        for code in 0..=255u8 {
            let _ = read(&[0x80, 2, code, b'.']);
            let _ = read(&[b'(', b'N', code, 0, 0, 0, 0, 0, 0, 0, b'.']);
        }
    }

    #[test]
    fn values_that_hold_each_other_many_times_take_no_room() {
        let mut bytes = vec![0x80, 2, b'N'];
        for _ in 0..200 {
            // The last value twice, as a tuple.
            bytes.extend([b'q', 0, b'h', 0, 0x86]);
        }
        bytes.push(b'.');
        assert!(read(&bytes).is_ok());
    }
}
